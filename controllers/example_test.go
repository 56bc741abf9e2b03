package controllers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

func ExampleManifestDir() {
	dir, err := os.MkdirTemp("", "accounts")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	manifest := `{apiVersion: sluice.dev/v1alpha1, kind: MailAccount, ` +
		`metadata: {name: a}, spec: {limits: {perMinute: 30}}}`
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(manifest), 0o600); err != nil {
		panic(err)
	}

	l := limiter.New(memory.New(memory.Options{}))
	folder, err := controllers.NewManifestDir(context.Background(), dir, l, logr.Discard())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // Start loads the folder, and follows it until the context ends
	if err := folder.Start(ctx); err != nil {
		panic(err)
	}
	key := limiter.Key{Namespace: "default", Name: "a"}
	u, err := l.Usage(context.Background(), limiter.Instant{}, key)
	fmt.Println(u.Window(limiter.Cost, limiter.Minute).Limit, err)
	// Output: 30 <nil>
}
