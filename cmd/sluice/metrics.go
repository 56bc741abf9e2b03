package main

import (
	"net/http"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
)

// The most questions a second to the API server about who may read the metrics. What Prometheus was
// told is remembered for a minute, so that this leaves room for many, and a flood of bad tokens
// asks no more.
const (
	metricsReviews      = 5
	metricsReviewsBurst = 10
)

// metricsHandler returns the handler of /metrics. If a cluster is given, callers need a token of
// it, and the right to get the path: see the ClusterRole sluice-metrics-reader. The token is one
// for the API server, as Prometheus has no other.
func metricsHandler(
	gatherer prometheus.Gatherer, cluster *rest.Config,
) (http.Handler, error) {
	// No other path: a caller's right is to a path, and everybody has that to some, as /healthz.
	mux, handler := http.NewServeMux(), promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
	if cluster == nil {
		mux.Handle("GET /metrics", handler)
		return mux, nil
	}
	cluster = rest.CopyConfig(cluster)
	cluster.QPS, cluster.Burst, cluster.RateLimiter = metricsReviews, metricsReviewsBurst, nil
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
	mux.Handle("GET /metrics", protected)
	return mux, err
}
