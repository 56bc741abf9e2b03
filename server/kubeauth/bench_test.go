package kubeauth_test

import (
	"fmt"
	"testing"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server/kubeauth"
)

// benchmarkKnown calls with 1,000 tokens about 10,000 accounts, all of which are known.
func benchmarkKnown(b *testing.B, byName bool) {
	f := newFakeAPI(b, logr.Discard(), nil)
	tokens := make([]string, 1000)
	accounts := make([]limiter.Key, 10000)
	for i := range accounts {
		accounts[i] = limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("account-%d", i)}
		f.allow("dispatcher", accounts[i].Name, byName)
	}
	f.allow("dispatcher", "", !byName)
	var caller kubeauth.Caller
	for i := range tokens {
		tokens[i] = f.token("dispatcher")
		caller = f.mustAuthenticate(tokens[i])
	}
	for _, account := range accounts {
		if byName {
			f.Learn(caller, "use", account) // there is a rate for reviews
		}
	}
	if err := f.Authorize(b.Context(), caller, "use", accounts[0]); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			caller, err := f.Authenticate(ctx, tokens[i%len(tokens)])
			if err == nil {
				err = f.Authorize(ctx, caller, "use", accounts[i*7%len(accounts)])
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkKnownCallerByNamespace(b *testing.B) { benchmarkKnown(b, false) }

func BenchmarkKnownCallerByName(b *testing.B) { benchmarkKnown(b, true) }

func BenchmarkKnownBatch(b *testing.B) {
	f := newFakeAPI(b, logr.Discard(), nil)
	f.allow("dispatcher", "", true)
	caller := f.mustAuthenticate(f.token("dispatcher"))
	calls := make([]limiter.Call, 1000)
	for i := range calls {
		calls[i].Key = limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("account-%d", i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		f.AuthorizeCalls(b.Context(), caller, "use", calls)
	}
}

func BenchmarkForgedToken(b *testing.B) {
	for name, repeated := range map[string]bool{"New": false, "Repeated": true} {
		b.Run(name, func(b *testing.B) {
			f := newFakeAPI(b, logr.Discard(), nil)
			token := f.token("dispatcher")
			b.ReportAllocs()
			forged := forge(token)
			for number := 0; b.Loop(); number++ {
				if !repeated {
					forged = forgeWith(token, number)
				}
				if _, err := f.Authenticate(b.Context(), forged); err == nil {
					b.Fatal("it is accepted")
				}
			}
		})
	}
}
