// Package control keeps the control record of a migration on one side, and what
// stands beside it: the roll of members, the audit, the coordinator's lock.
//
// It does the input and output for package protocol and decides nothing. Four
// things it must get right, since the protocol leans on them:
//
//   - A record is changed by a script that compares the whole record that was
//     read. After a lost reply the writer reads again and knows its own by the nonce.
//   - Whether the replicas have a record is asked on the very connection that
//     wrote or read it: WAIT covers what its own connection has seen, and proves
//     nothing on a fresh one. So each store pins one connection, and the script,
//     WAIT and ROLE go in one write.
//   - Every answer says which server process gave it (its run id), and that it was
//     a master then.
//   - A side has its own record only. The other side's is an error, and neither obeyed
//     nor overwritten: it is of an earlier migration of that name, or the sides were
//     exchanged, and "done, the target answers" would send the app to an empty Redis.
//
// All keys carry the migration's name as hash tag, so one master has them all and
// one script can change them. None has an expiry: a missing key must never be
// read as a process that has died.
package control
