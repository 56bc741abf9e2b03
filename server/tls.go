package server

import (
	"crypto/tls"
	"net"
)

// ListenTLS returns a listener whose connections are encrypted. It asks for the certificate at each
// handshake, so that a new one is used at once, and connections that are open stay. A handshake has
// the time that HTTPServer gives a request.
func ListenTLS(
	listener net.Listener, minVersion uint16,
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error),
) net.Listener {
	return tls.NewListener(listener, &tls.Config{
		GetCertificate: certificate,
		MinVersion:     minVersion,
		NextProtos:     []string{"http/1.1"},
		// Of TLS 1.2; those of 1.3 cannot be chosen. The others that Go offers are not authenticated
		// as a whole (CBC).
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	})
}
