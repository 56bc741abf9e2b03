//go:build faults

package faults

import (
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// TestClockOfTheBoot: on the same boot of the machine its clock says how much time passed. In a
// time namespace that clock is another one, as after a reboot: it must not be compared, or slots
// would be free too early, or never.
func TestClockOfTheBoot(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 3})
	p.serve()
	p.allow("a", 3, 900)
	for _, offset := range []string{"1000000", "3000000", "2000", ""} {
		p.kill()
		p.wrapper = nil
		if offset != "" {
			p.wrapper = []string{"unshare", "--time", "--boottime", offset}
		}
		p.serve()
		assumed := p.logLine("the journal was read")
		if strings.Contains(assumed, "by the clock of the machine's boot") {
			t.Errorf("with the offset %q, the clock of another boot is believed: %s", offset, assumed)
		}
		t.Logf("offset %q: %s", offset, assumed)
		p.want("a", 3, 0)
		if d, err := p.check("a", newID(), 60); err != nil || d.Decision != httpv1.Defer {
			t.Errorf("with the offset %q, a check beyond the limit got %+v, %v", offset, d, err)
		}
	}
	p.kill()
	p.serve()
	if line := p.logLine("the journal was read"); !strings.Contains(line, "of the machine's boot") {
		t.Errorf("on the same boot, its clock is not believed: %s", line)
	}
	p.want("a", 3, 0)
	p.stop()
}

// logLine returns the first line of the log that says something.
func (p *process) logLine(text string) string {
	p.t.Helper()
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
	p.t.Fatalf("the log does not say %q:\n%s", text, p.log)
	return ""
}
