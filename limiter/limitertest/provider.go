package limitertest

import (
	"sync"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// Provider counts the mails of one account as they arrive, in real time, and complains as the
// observer does if too many came. It may be used concurrently. The zero value is not usable: make
// one with [NewProvider].
type Provider struct {
	start time.Time

	mu    sync.Mutex
	mails []counted
	cost  int64 // of all
}

// NewProvider returns one that has no mail yet.
func NewProvider() *Provider { return &Provider{start: time.Now()} }

// Arrived counts a mail now. Its sender was allowed to send it, and has not committed yet.
func (p *Provider) Arrived(cost int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails = append(p.mails, counted{sent: int64(time.Since(p.start)), cost: cost})
	p.cost += cost
}

// Cost is that of all mails so far.
func (p *Provider) Cost() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cost
}

// Complaint tells of a real window that holds more than its limit, or of nothing. Where a fault may
// let more through, the caller adds that to the limits. It compares all mails with each other: it
// is for some thousands.
func (p *Provider) Complaint(limits limiter.Limits) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.mails {
		p.mails[n].limits = limits
	}
	return complaint(p.mails)
}
