package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// document is docs/fidelity.md.
func document(ctx context.Context, rows []row, took time.Duration) ([]byte, error) {
	commit, err := commit(ctx)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Fidelity, as measured

How exactly a running Sluice does what it promises. %s writes this page: it runs the
binary as a process, calls it over HTTP, and fails if a promise is broken. The windows are real
minutes.

On %s, %s, %s; commit %s; all in %s.

| what | how | ideal | measured |
|---|---|---|---|
`, "`make fidelity`", machine(), runtime.Version(), time.Now().UTC().Format(time.DateOnly), commit,
		took.Round(time.Second))
	for _, r := range rows {
		measured := r.measured
		if r.broken != "" {
			measured += "; BROKEN: " + r.broken
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.how, r.ideal, measured)
	}
	b.WriteString("\n## What the rows say\n\n")
	for _, r := range rows {
		b.WriteString(item(fmt.Sprintf("**%s**: %s", upperFirst(r.what), r.meaning)))
	}
	b.WriteString(comparison)
	return b.Bytes(), nil
}

const comparison = `
## What other limiters do

These are properties of the algorithms, not measurements.

- A **fixed window** counts from one minute of the clock to the next. A whole limit at the end of
  one and a whole limit at the start of the next fall into the same sixty seconds: up to twice the
  limit.
- A **sliding window counter** weighs the previous window by how much of it is still in view, as if
  its mails had been sent evenly. A burst was not. After one, such a counter admits too much or too
  little, depending on where in its window the burst was.
- A **token bucket** that holds a limit's worth of tokens and refills at the limit's rate admits the
  full bucket, and what is refilled meanwhile: up to twice the limit in the first window after a
  pause. A bucket that is small enough to never exceed the limit also never admits a burst that the
  provider would have taken.
- Limiters that **count when a mail was sent**, and not when it was asked for, admit all that ask
  while the first are still being sent. Those that count when it was asked for, and wait for a
  release, lose a slot with each caller that dies.

Sluice keeps each send of a day, up to a resolution that [the guarantees](spec/guarantees.md) state,
and counts from the check on. That is what the memory in [performance](performance.md) is for.
`

// item writes an item of a list, in lines of at most 100 columns.
func item(text string) string {
	var b strings.Builder
	line := "-"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = " "
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// machine says what kind of machine this is, as far as numbers depend on it.
func machine() string {
	name := "a machine"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores of %s (%s/%s)", runtime.NumCPU(), name, runtime.GOOS, runtime.GOARCH)
}

// commit is that of the repository, and whether there is more than that.
func commit(ctx context.Context) (string, error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	hash, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "", fmt.Errorf("the commit cannot be told: %w", err)
	}
	changed, err := git("status", "--porcelain")
	if err == nil && changed != "" {
		hash += " with changes"
	}
	return hash, err
}
