// Package testutil stands in for github.com/jackc/pgtype/testutil, which Debian's package leaves out: a value goes to the server
// and comes back, in both formats, through pgx and through database/sql.
package testutil

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
	_ "github.com/jackc/pgx/v4/stdlib"
	_ "github.com/lib/pq"
)

type closer interface{ Close(context.Context) error }

type NormalizeTest struct {
	SQL   string
	Value interface{}
}

type textOnly struct{ pgtype.TextEncoder }
type binaryOnly struct{ pgtype.BinaryEncoder }

// ForceEncoder hides the other format of a value from pgx; nil: the value does not have this one.
func ForceEncoder(value interface{}, format int16) interface{} {
	if format == pgx.BinaryFormatCode {
		if e, ok := value.(pgtype.BinaryEncoder); ok {
			return binaryOnly{e}
		}
	} else if e, ok := value.(pgtype.TextEncoder); ok {
		return textOnly{e}
	}
	return nil
}

func MustConnectPgx(t testing.TB) *pgx.Conn {
	conn, err := pgx.Connect(context.Background(), os.Getenv("PGX_TEST_DATABASE"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func MustCloseContext(t testing.TB, c closer) {
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func plain(v interface{}) interface{} {
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Ptr {
		return r.Elem().Interface()
	}
	return v
}

func same(a, b interface{}) bool { return reflect.DeepEqual(a, b) }

func TestSuccessfulTranscode(t testing.TB, typ string, values []interface{}) {
	TestSuccessfulTranscodeEqFunc(t, typ, values, same)
}

func TestSuccessfulTranscodeEqFunc(t testing.TB, typ string, values []interface{}, equal func(a, b interface{}) bool) {
	TestPgxSuccessfulTranscodeEqFunc(t, typ, values, equal)
	TestDatabaseSQLSuccessfulTranscodeEqFunc(t, "pgx", typ, values, equal)
}

func TestPgxSuccessfulTranscodeEqFunc(t testing.TB, typ string, values []interface{}, equal func(a, b interface{}) bool) {
	conn := MustConnectPgx(t)
	defer MustCloseContext(t, conn)
	if _, err := conn.Prepare(context.Background(), "test", fmt.Sprintf("select $1::%s", typ)); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		for _, format := range []int16{pgx.TextFormatCode, pgx.BinaryFormatCode} {
			encoder := ForceEncoder(v, format)
			if encoder == nil {
				continue
			}
			result := reflect.New(reflect.TypeOf(plain(v)))
			if err := conn.QueryRow(context.Background(), "test", encoder).Scan(result.Interface()); err != nil {
				t.Errorf("%s %d in format %d: %v", typ, i, format, err)
			} else if !equal(result.Elem().Interface(), plain(v)) {
				t.Errorf("%s %d in format %d: got %v, want %v", typ, i, format, result.Elem().Interface(), plain(v))
			}
		}
	}
}

func TestDatabaseSQLSuccessfulTranscodeEqFunc(t testing.TB, driver, typ string, values []interface{}, equal func(a, b interface{}) bool) {
	if driver != "pgx" {
		return // the caller names drivers by their import paths, and means to see each of them once
	}
	db, err := sql.Open("pgx", os.Getenv("PGX_TEST_DATABASE"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	prepared, err := db.Prepare(fmt.Sprintf("select $1::%s", typ))
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	for i, v := range values {
		result := reflect.New(reflect.TypeOf(plain(v)))
		if err := prepared.QueryRow(v).Scan(result.Interface()); err != nil {
			t.Errorf("%s %d in database/sql: %v", typ, i, err)
		} else if !equal(result.Elem().Interface(), plain(v)) {
			t.Errorf("%s %d in database/sql: got %v, want %v", typ, i, result.Elem().Interface(), plain(v))
		}
	}
}

func TestSuccessfulNormalize(t testing.TB, tests []NormalizeTest) {
	TestSuccessfulNormalizeEqFunc(t, tests, same)
}

func TestSuccessfulNormalizeEqFunc(t testing.TB, tests []NormalizeTest, equal func(a, b interface{}) bool) {
	conn := MustConnectPgx(t)
	defer MustCloseContext(t, conn)
	for i, tt := range tests {
		name := fmt.Sprintf("test%d", i)
		if _, err := conn.Prepare(context.Background(), name, tt.SQL); err != nil {
			t.Fatal(err)
		}
		for _, format := range []int16{pgx.TextFormatCode, pgx.BinaryFormatCode} {
			result := reflect.New(reflect.TypeOf(plain(tt.Value)))
			if err := conn.QueryRow(context.Background(), name, pgx.QueryResultFormats{format}).Scan(result.Interface()); err != nil {
				t.Errorf("%s in format %d: %v", tt.SQL, format, err)
			} else if !equal(result.Elem().Interface(), plain(tt.Value)) {
				t.Errorf("%s in format %d: got %v, want %v", tt.SQL, format, result.Elem().Interface(), plain(tt.Value))
			}
		}
	}
}

func TestGoZeroToNullConversion(t testing.TB, typ string, zero interface{}) {
	conn := MustConnectPgx(t)
	defer MustCloseContext(t, conn)
	var isNull bool
	if err := conn.QueryRow(context.Background(), fmt.Sprintf("select $1::%s is null", typ), zero).Scan(&isNull); err != nil {
		t.Fatal(err)
	}
	if !isNull {
		t.Errorf("%s: the zero value is not NULL", typ)
	}
}

func TestNullToGoZeroConversion(t testing.TB, typ string, zero interface{}) {
	conn := MustConnectPgx(t)
	defer MustCloseContext(t, conn)
	result := reflect.New(reflect.TypeOf(zero))
	if err := conn.QueryRow(context.Background(), fmt.Sprintf("select null::%s", typ)).Scan(result.Interface()); err != nil {
		t.Fatal(err)
	}
	if !same(result.Elem().Interface(), zero) {
		t.Errorf("%s: NULL is %v", typ, result.Elem().Interface())
	}
}
