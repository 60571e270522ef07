package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxBody bounds what is sent, in bytes: the largest form has a few lines.
const maxBody = 64 << 10

var (
	errLarge = &problem{http.StatusRequestEntityTooLarge, "This is more than any form of ours holds."}
	errText  = &problem{http.StatusBadRequest, "This is not text that can be read."}
)

// bounded refuses what no form of ours sends before anything is done with it: bodies
// without end, uploads, and text that a database would refuse as if that were our fault.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if p := malformed(r); p != nil {
			s.show(w, r, p.status, "problem", problemView{Text: p.text})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// malformed reads a request's form, and says what is wrong with it. Once it was read
// nobody looks for files in it, which would be written to the disk.
func malformed(r *http.Request) *problem {
	if err := r.ParseForm(); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return errLarge
		}
		return errText
	}
	if !readable(r.URL.Path) || !allReadable(r.Form) {
		return errText
	}
	return nil
}

func allReadable(form url.Values) bool {
	for name, values := range form {
		for _, v := range append(values, name) {
			if !readable(v) {
				return false
			}
		}
	}
	return true
}

// readable: PostgreSQL takes neither other bytes nor NUL.
func readable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
