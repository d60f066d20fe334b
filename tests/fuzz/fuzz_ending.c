/* tests/fuzz/fuzz_ending.c - texts of SQL that are read when their server is lost. */
#include "base/buf.h"
#include "base/must.h"
#include "session/ending.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct ending_facts f = ending_read(view_of(p, n));
	bool ends = f.is == ENDING_COMMIT || f.is == ENDING_ROLLBACK || f.is == ENDING_PREPARE || f.is == ENDING_CHAIN;
	must(!ends || f.may_end);
	must(f.is != ENDING_EMPTY || !f.may_end);
	/* Whatever comes before: with a COMMIT behind it, it may end a transaction, or is not understood to its end. */
	struct buf b = { 0 };
	buf_add(&b, view_of(p, n));
	buf_add(&b, VIEW("\n;commit"));
	bool is_open = !ending_read(buf_view(&b)).may_end;
	must(!is_open);
	buf_free(&b);
	return 0;
}
