package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

func Example() {
	l := limiter.New(memory.New(memory.Options{}))
	key := limiter.Key{Namespace: "marketing", Name: "newsletter"}
	if _, err := l.Apply(context.Background(), key, "uid", limiter.Policy{}); err != nil {
		panic(err)
	}
	l.MarkLoaded()
	api := httptest.NewServer(server.New(server.Options{Limiter: l}))
	defer api.Close()

	resp, err := http.Post(api.URL+"/v1/accounts/marketing/newsletter/commit", "application/json",
		nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(string(body))
	// Output: {"outcome":"Unreserved"}
}
