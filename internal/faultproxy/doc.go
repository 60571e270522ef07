// Package faultproxy is a TCP proxy that misbehaves on demand: it delays, slows,
// stalls, cuts and refuses, for all connections or for one.
//
// The fault that it exists for is the half-open connection: the client gives up
// and closes, the proxy keeps the server's side open and the client's last bytes
// with it, and delivers them later, when nobody expects them any more. Load
// balancers, sidecars and networks that drop a FIN do that. See Proxy.KeepServer
// and Link.Hold.
//
// Proxy.Watch shows what clients send before it is delivered, so that a fault can
// be timed by it.
//
// A connection through the proxy is a Link. It copies bytes and knows nothing of
// Redis or TLS.
package faultproxy
