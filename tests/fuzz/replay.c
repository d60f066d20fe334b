/*
 * tests/fuzz/replay.c - the main() of a fuzz target where there is no libFuzzer: feeds it files, and what is close to them.
 *
 *	fuzz_NAME [DIRECTORY | FILE]...
 *
 * Without arguments: the directory tests/fuzz/corpus/NAME of the source tree. Each file is fed as it is, then cut off
 * after each of its bytes, then with each of its bits flipped. Every input lies in memory of exactly its own size, so
 * that a sanitizer sees the first byte read too far.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef FUZZ_CORPUS
#define FUZZ_CORPUS "tests/fuzz/corpus"
#endif

#define FILE_MAX       (1 << 20) /* bytes; a corpus is made of small files */
#define VARIED_MAX     2048      /* bytes of a file whose truncations and flipped bits are fed as well */
#define VARIED_SECONDS 10        /* of processor time for all of those together: a slow target sees fewer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	unsigned long files, inputs;
	int           is_cut; /* VARIED_SECONDS were up */
} done;

static void
feed(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	if (!exact)
		abort();
	memcpy(exact, data, size);
	/* An empty input has no byte that may be touched, either. */
	LLVMFuzzerTestOneInput(size ? exact : exact + 1, size);
	free(exact);
	done.inputs++;
}

static int
time_is_up(void)
{
	done.is_cut = done.is_cut || clock() > (clock_t)VARIED_SECONDS * CLOCKS_PER_SEC;
	return done.is_cut;
}

static void
feed_varied(uint8_t *data, size_t size)
{
	for (size_t n = 0; n < size && !time_is_up(); n++)
		feed(data, n);
	for (size_t bit = 0; bit < size * 8 && !time_is_up(); bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		feed(data, size);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void
fail(const char *what, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", what, path, errno ? strerror(errno) : "too large for a corpus");
	exit(1);
}

static void
replay_file(const char *path)
{
	static uint8_t data[FILE_MAX + 1];
	errno = 0;
	FILE *f = fopen(path, "rb");
	if (!f)
		fail("cannot open", path);
	size_t n = fread(data, 1, sizeof(data), f);
	if (ferror(f) || n > FILE_MAX)
		fail("cannot read", path);
	fclose(f);
	done.files++;
	feed(data, n);
	if (n <= VARIED_MAX)
		feed_varied(data, n);
}

static void
replay(const char *path)
{
	DIR *dir = opendir(path);
	if (!dir) {
		if (errno != ENOTDIR)
			fail("cannot open", path);
		replay_file(path);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		char file[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		replay_file(file);
	}
	closedir(dir);
}

/* The corpus of the program fuzz_NAME is called NAME. */
static const char *
corpus_of(const char *program)
{
	static char path[4096];
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	snprintf(path, sizeof(path), "%s/%s", FUZZ_CORPUS, name);
	return path;
}

int
main(int argc, char **argv)
{
	if (argc == 1)
		replay(corpus_of(argv[0]));
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (done.files == 0) {
		fprintf(stderr, "%s: no corpus, nothing was shown\n", argv[0]);
		return 1;
	}
	printf("%lu files, %lu inputs%s\n", done.files, done.inputs, done.is_cut ? ", cut short for time" : "");
	return 0;
}
