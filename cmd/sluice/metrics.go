package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// screen returns an error, which is an httpv1.Problem, if a token is not worth asking about.
type screen = func(ctx context.Context, token string) error

// metricsHandler returns the handler of /metrics. If a cluster is given, callers need a token of
// it, and the right to get the path: see the ClusterRole sluice-metrics-reader. The token is one
// for the API server, as Prometheus has no other.
func metricsHandler(
	gatherer prometheus.Gatherer, cluster *rest.Config, worth screen,
) (http.Handler, error) {
	// No other path: a caller's right is to a path, and everybody has that to some, as /healthz.
	mux, handler := http.NewServeMux(), promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
	if cluster == nil {
		mux.Handle("GET /metrics", handler)
		return mux, nil
	}
	cluster = rest.CopyConfig(cluster)
	// With a rate, a flood would wait in one queue for up to 30 s, and Prometheus behind it.
	cluster.QPS, cluster.RateLimiter = -1, nil
	client, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, err
	}
	filter, err := filters.WithAuthenticationAndAuthorization(cluster, client)
	if err != nil {
		return nil, err
	}
	// It would log a line for each refusal, which whoever reaches the address could fill a disk with.
	protected, err := filter(logr.Discard(), handler)
	mux.Handle("GET /metrics", screened(protected, worth))
	return mux, err
}

// screened has tokens screened before the handler asks the API server about them.
func screened(handler http.Handler, worth screen) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Sec-Websocket-Protocol") // the filter finds tokens there, too
		// The filter takes the same piece for the token.
		parts := strings.SplitN(strings.TrimSpace(r.Header.Get("Authorization")), " ", 3)
		if len(parts) > 1 && parts[1] != "" {
			if err := worth(r.Context(), parts[1]); err != nil {
				status := http.StatusInternalServerError
				if p, ok := errors.AsType[*httpv1.Problem](err); ok {
					status = p.Status
				}
				http.Error(w, http.StatusText(status), status)
				return
			}
		}
		handler.ServeHTTP(w, r)
	})
}
