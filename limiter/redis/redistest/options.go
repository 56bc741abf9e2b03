package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Options say how a [Server] is started. The zero value is a server that keeps nothing.
type Options struct {
	// Arguments are more of them, as "--maxmemory", "1mb". They come last.
	Arguments []string
	// AOF has it keep what is written, and says when it syncs: "always", "everysec" or "no".
	AOF string
	// TLS has it listen on another port, too, with a certificate of a CA of its own.
	TLS bool
	// ACL are lines of a file of users, as "user sluice on >secret ~sl:* +@all". Where there are
	// some, "--requirepass" has no effect.
	ACL []string
	// ShiftableClock is for [Server.ShiftClock]. It needs a C compiler.
	ShiftableClock bool
	// Host is where it listens instead of 127.0.0.1. Wrapper is a command that runs it elsewhere,
	// as "ip", "netns", "exec", "name", and Dial how to get there.
	Host    string
	Wrapper []string
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)

	sentinel bool
}

// The user of the tests' own commands, whatever becomes of the others. Sentinels have none.
const (
	adminName     = "redistest"
	adminPassword = "redistest-password"
	adminRules    = adminName + " on >" + adminPassword + " ~* &* +@all"
)

// writeFiles writes what the server reads when it starts.
func (s *Server) writeFiles() error {
	o := &s.options
	lines := []string{
		fmt.Sprint("port ", s.port.number), "bind " + o.Host, "protected-mode no",
		fmt.Sprintf("dir %q", s.dir), fmt.Sprintf("logfile %q", s.logFile()),
	}
	if !o.sentinel {
		lines = append(lines, `save ""`)
	}
	if s.major >= 7 && !o.sentinel {
		lines = append(lines, "enable-debug-command yes") // DEBUG SLEEP; before, it always is
	}
	if o.AOF != "" {
		lines = append(lines, "appendonly yes", "appendfsync "+o.AOF)
	}
	if o.TLS {
		certificate, key, err := s.authority.issue(s.dir, o.Host)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprint("tls-port ", s.tlsPort.number), "tls-auth-clients no",
			fmt.Sprintf("tls-cert-file %q", certificate), fmt.Sprintf("tls-key-file %q", key),
			fmt.Sprintf("tls-ca-cert-file %q", s.CAFile()))
	}
	switch {
	case o.sentinel:
	case len(o.ACL) > 0:
		lines = append(lines, fmt.Sprintf("aclfile %q", s.aclFile()))
		users := strings.Join(append([]string{"user " + adminRules}, o.ACL...), "\n") + "\n"
		if err := os.WriteFile(s.aclFile(), []byte(users), 0o600); err != nil {
			return err
		}
	default:
		lines = append(lines, "user "+adminRules)
	}
	lines = append(lines, configLines(o.Arguments)...)
	return os.WriteFile(s.configFile(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// configLines turns arguments into lines of a file, which the server can rewrite.
func configLines(arguments []string) (lines []string) {
	for _, word := range arguments {
		name, isName := strings.CutPrefix(word, "--")
		if isName || len(lines) == 0 {
			lines = append(lines, name)
			continue
		}
		lines[len(lines)-1] += " " + strconv.Quote(word)
	}
	return lines
}

func (s *Server) configFile() string { return filepath.Join(s.dir, "redis.conf") }
func (s *Server) aclFile() string    { return filepath.Join(s.dir, "users.acl") }
func (s *Server) logFile() string    { return filepath.Join(s.dir, "log") }
