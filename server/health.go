package server

import (
	"net/http"
)

// Health answers /healthz and /readyz: each is fine if its function returns nil, and says what it returns otherwise.
func Health(alive, ready func() error) http.Handler {
	mux := http.NewServeMux()
	for path, problem := range map[string]func() error{"/healthz": alive, "/readyz": ready} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := problem(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("ok\n"))
		})
	}
	return mux
}
