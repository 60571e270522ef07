// Package lastminute keeps what happened in the last minute: counts, and how long
// things took. A minute is made of parts that are dropped as a whole, so that what
// was noted leaves it a part late at most.
package lastminute
