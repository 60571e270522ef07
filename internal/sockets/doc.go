// Package sockets holds no code: its tests are the facts about real servers and
// sockets on which the fence, the leases and the feeds lean. Each was seen before
// it was relied upon; should a server or a client ever behave otherwise, a test
// here fails, and says which argument has lost its ground.
//
//	kill_test.go      after CLIENT KILL ID is answered, nothing of that connection is executed
//	busy_test.go      a busy server's BUSY is no fence; PAUSE does not keep a fence out
//	list_test.go      CLIENT LIST misses who waits to be accepted; ids grow, so a watermark ends the sweep
//	check_test.go     the check in OnConnect closes that gap, and its refusal comes out as it went in
//	freeze_test.go    what a process does that was stopped and goes on after a fence
//	halfopen_test.go  a proxy that keeps the server's side: the orphan is listed, and dies by its id
//	hello_test.go     a wrapper of net.Conn knows the connection's id without asking
//	wait_test.go      what WAIT covers, and where it says nothing
//	lease_test.go     a paused server renews no lease, but its record can be read
//	acl_test.go       what a revoked right stops, what it lets through, and the form that is complete
//	tracking_test.go  PING is a watermark on a tracking connection; group changes are not told
//
// Most run on a plain socket, through a proxy and over TLS. Facts that are a
// matter of timing are asserted only in the direction that safety needs.
package sockets
