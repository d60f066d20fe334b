/*
 * base/must.h - must(): what can only be false through a mistake of our own. Stays on in every build.
 *
 * Never for what a peer, a file or an operator could cause: those are faults (base/fault.h).
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#define must(condition)                                                                                                \
	((__builtin_expect(!!(condition), 1)) ? (void)0 : must_failed(#condition, __FILE__, __LINE__, __func__))

/* Writes one line to stderr and aborts, so that a core shows where. */
_Noreturn void must_failed(const char *condition, const char *file, int line, const char *function);

#endif
