package controllers

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/manifest"
)

// declaration is an account as a file declares it.
type declaration struct {
	key    limiter.Key
	policy limiter.Policy
}

// parsed is a reading with its accounts. The problem is that of the reading, or of its content.
type parsed struct {
	name string
	reading
	documents int
	accounts  []declaration
}

// parseAll parses readings on all processors. One processor takes a second for 10,000 files.
func parseAll(readings []parsed) []parsed {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(readings)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(readings)); i = next.Add(1) - 1 {
				readings[i].parse()
			}
		})
	}
	workers.Wait()
	return readings
}

func (p *parsed) parse() {
	if p.gone || p.problem != nil {
		return
	}
	content, err := manifest.Parse(p.name, p.content)
	p.problem, p.documents = err, content.Documents
	for i := range content.Accounts {
		account := &content.Accounts[i]
		policy, err := desiredPolicy(&account.Spec)
		if err != nil {
			p.problem = err
			return
		}
		// A clone keeps no more of the file in memory than the name.
		key := limiter.Key{
			Namespace: strings.Clone(account.Namespace), Name: strings.Clone(account.Name),
		}
		p.accounts = append(p.accounts, declaration{key, policy})
	}
}
