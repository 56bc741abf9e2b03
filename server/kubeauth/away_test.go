package kubeauth_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// proxy forwards connections to the API server. It can refuse new ones and cut those that are open,
// and it can stop to forward what they say, as a network does that breaks half-open.
type proxy struct {
	*testing.T
	address, target string
	listener        net.Listener

	mu     sync.Mutex
	conns  []net.Conn
	frozen chan struct{} // is closed when what is said is forwarded again
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{T: t, target: target, address: "127.0.0.1:0", frozen: make(chan struct{})}
	close(p.frozen)
	p.listen()
	t.Cleanup(p.cut)
	return p
}

// listen takes connections, again after cut at the same address.
func (p *proxy) listen() {
	p.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.Fatal(err)
	}
	p.listener, p.address = listener, listener.Addr().String()
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", p.target)
			if err != nil {
				_ = from.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, from, to)
			p.mu.Unlock()
			go p.forward(from, to)
			go p.forward(to, from)
		}
	}()
}

func (p *proxy) forward(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		<-frozen
		if n > 0 {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// cut closes the listener and all connections.
func (p *proxy) cut() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// freeze forwards nothing more. The connections stay open.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
}

// heal forwards what is said on new connections. Those on which something was said meanwhile stay
// as they are.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.frozen
	p.Cleanup(func() { close(lost) })
	p.frozen = make(chan struct{})
	close(p.frozen)
}

// TestRealAPIServerAway has a real API server behind a network that fails. The times are exact in
// the tests with a fake one.
func TestRealAPIServerAway(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(p *proxy) }{
		"refuses connections":                   {(*proxy).cut, (*proxy).listen},
		"hangs":                                 {(*proxy).freeze, (*proxy).thaw},
		"hangs, and connections stay half-open": {(*proxy).freeze, (*proxy).heal},
		"hangs, and all connections are lost": {(*proxy).freeze, func(p *proxy) {
			p.cut()
			p.thaw()
			p.listen()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, err := url.Parse(controlplane.Config.Host)
			if err != nil {
				t.Fatal(err)
			}
			p := newProxy(t, host.Host)
			config := rest.CopyConfig(controlplane.Config)
			config.Host = "https://" + p.address
			f := newFixtureOn(t, config)
			home := f.namespace()
			sa := f.serviceAccount(home, "dispatcher")
			token := f.token(sa, nil, audience)
			caller, err := f.Authenticate(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			f.grant(home, f.role([]string{"use"}), caller)
			f.settles(caller, "use", home, "newsletter", true)
			known := func() {
				t.Helper()
				_, errToken := f.Authenticate(t.Context(), token)
				errRight := f.authorize(caller, "use", home, "newsletter")
				if errToken != nil || errRight != nil {
					t.Fatalf("%v, %v", errToken, errRight)
				}
			}
			known()
			fresh := f.token(sa, nil, audience)
			f.advance(6 * time.Minute)
			fault.begin(p)
			known()
			_, err = f.Authenticate(t.Context(), fresh)
			wantProblem(t, err, httpv1.NotReady, "")
			known()
			fault.end(p)
			controlplane.Eventually(t, "a new token is not accepted again", func() error {
				_, err := f.Authenticate(t.Context(), fresh)
				return err
			})
			known()
		})
	}
}
