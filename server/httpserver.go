package server

import (
	"fmt"
	"log"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
)

// Limits of a connection. A request is a few hundred bytes and is answered in microseconds:
// whoever needs longer is slow on purpose or broken.
const (
	// Of the header and the body together; one of each would cost a timer more.
	readTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// HTTPServer returns a server for a handler, with limits against slow and oversized clients. It
// speaks HTTP/1.1 alone. What it has to say goes to the log, rate-limited.
//
// If the handler panics, the process ends, with the stack in the log: a lock may be held, or a
// state half-changed. http.ErrAbortHandler alone ends no more than the request.
func HTTPServer(handler http.Handler, logger logr.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      endOnPanic(handler, logger),
		ErrorLog:                     log.New(newLimitedLog(logger), "", 0),
		Protocols:                    &protocols,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is an unknown path like any other
	}
}

// endOnPanic keeps net/http from recovering a panic of a handler.
func endOnPanic(handler http.Handler, logger logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
				panic(p)
			} else if p != nil {
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
	go panic(fmt.Sprintf("%v\n\n%s", p, stack)) // nobody recovers this one
	select {}
}
