package server

import (
	"fmt"
	"log"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
)

// Limits of a connection. A request is a few hundred bytes, and its response takes microseconds: a
// caller who needs longer than this is slow on purpose, or broken.
const (
	// The header and the body together have one timeout: two would cost a second timer.
	readTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// HTTPServer returns a server for a handler, with limits against slow clients and large headers. It
// speaks HTTP/1.1 only. Its own messages go to the log, rate-limited.
//
// If the handler panics, the process ends, with the stack in the log: a lock may be held, or a
// state may be half changed. Only http.ErrAbortHandler ends no more than the request.
func HTTPServer(handler http.Handler, logger logr.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      endOnPanic(handler, logger),
		ErrorLog:                     log.New(newLimitedLog(logger), "", 0),
		Protocols:                    &protocols,
		ConnState:                    connState,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is an unknown path
	}
}

// endOnPanic keeps net/http from recovering from a panic of the handler.
func endOnPanic(handler http.Handler, logger logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			switch {
			case p == http.ErrAbortHandler: //nolint:errorlint // as net/http compares it
				panic(p)
			case p != nil:
				end(p, logger)
			}
		}()
		handler.ServeHTTP(w, r)
	})
}

// end ends the process, with the stack of the panic that it is called in.
func end(p any, logger logr.Logger) {
	stack := debug.Stack()
	err := fmt.Errorf("panic: %v", p)
	logger.Error(err, "a request met a bug; the process ends", "stack", string(stack))
	go panic(fmt.Sprintf("%v\n\n%s", p, stack)) // in a goroutine where nobody recovers
	select {}
}
