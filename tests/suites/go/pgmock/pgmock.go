// Package pgmock stands in for github.com/jackc/pgmock, which Debian does not have: pgconn's tests need it to be compiled.
// It plays no script, so that the two of them which use it fail; they never talk to a PostgreSQL.
package pgmock

import (
	"errors"

	"github.com/jackc/pgproto3/v2"
)

type Step interface {
	Step(*pgproto3.Backend) error
}

type Script struct {
	Steps []Step
}

func (s *Script) Run(b *pgproto3.Backend) error { return errors.New("pgmock is not here") }

type nothing struct{}

func (nothing) Step(*pgproto3.Backend) error { return nil }

func SendMessage(m pgproto3.BackendMessage) Step       { return nothing{} }
func ExpectMessage(m pgproto3.FrontendMessage) Step    { return nothing{} }
func ExpectAnyMessage(m pgproto3.FrontendMessage) Step { return nothing{} }
func AcceptUnauthenticatedConnRequestSteps() []Step    { return nil }
