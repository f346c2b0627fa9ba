/* The AEAD self-test: can this TLS library do what HAProxy's QUIC asks of it?
 *
 * Every operation is made with the calls of HAProxy's src/quic_tls.c (3.0), in their order: a context per
 * key and direction, then per packet an IV, the AAD and the payload in one update. A check that
 * crashes or never ends is a result, and the others go on. Prints JSON lines: first the library, then one line
 * per check. It is built by templates/build/selftest.sh.j2, which defines HAVE_x for each function x that
 * the library really has. See docs/selftest.md.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"
#include "expected.h"
#include "vectors.h"

#define TAG 16
#define IV 12
#define LONGEST 16384
#define OFFSETS 16
#define GUARD 64
#define PATIENCE 30 /* seconds for one check */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(HAVE_EVP_aead_aes_128_gcm) || defined(HAVE_EVP_aead_chacha20_poly1305)
#define HAVE_AEAD_API
#else
typedef struct none EVP_AEAD;
typedef struct none EVP_AEAD_CTX;
#endif

typedef const EVP_CIPHER *cipher_getter(void);
typedef const EVP_AEAD *aead_getter(void);

/* A getter that the library lacks is NULL. */
#ifdef HAVE_EVP_aes_128_gcm
#define AES_128_GCM EVP_aes_128_gcm
#else
#define AES_128_GCM NULL
#endif
#ifdef HAVE_EVP_aes_256_gcm
#define AES_256_GCM EVP_aes_256_gcm
#else
#define AES_256_GCM NULL
#endif
#ifdef HAVE_EVP_chacha20_poly1305
#define CHACHA20_POLY1305 EVP_chacha20_poly1305
#else
#define CHACHA20_POLY1305 NULL
#endif
#ifdef HAVE_EVP_aes_128_ccm
#define AES_128_CCM EVP_aes_128_ccm
#else
#define AES_128_CCM NULL
#endif
#ifdef HAVE_EVP_aead_aes_128_gcm
#define AEAD_AES_128_GCM EVP_aead_aes_128_gcm
#else
#define AEAD_AES_128_GCM NULL
#endif
#ifdef HAVE_EVP_aead_aes_256_gcm
#define AEAD_AES_256_GCM EVP_aead_aes_256_gcm
#else
#define AEAD_AES_256_GCM NULL
#endif
#ifdef HAVE_EVP_aead_chacha20_poly1305
#define AEAD_CHACHA20_POLY1305 EVP_aead_chacha20_poly1305
#else
#define AEAD_CHACHA20_POLY1305 NULL
#endif
#ifdef HAVE_EVP_aes_128_ctr
#define AES_128_CTR EVP_aes_128_ctr
#else
#define AES_128_CTR NULL
#endif
#ifdef HAVE_EVP_aes_256_ctr
#define AES_256_CTR EVP_aes_256_ctr
#else
#define AES_256_CTR NULL
#endif
#ifdef HAVE_EVP_chacha20
#define CHACHA20 EVP_chacha20
#else
#define CHACHA20 NULL
#endif

/* The order is that of SUITE_x in vectors.h and of the columns in expected.h. */
static const struct suite {
	const char *name;
	size_t key_length;
	cipher_getter *cipher;
	aead_getter *aead;
	cipher_getter *header; /* what HAProxy protects packet headers with */
	int ccm;
} SUITES[] = {
	{ "TLS_AES_128_GCM_SHA256", 16, AES_128_GCM, AEAD_AES_128_GCM, AES_128_CTR, 0 },
	{ "TLS_AES_256_GCM_SHA384", 32, AES_256_GCM, AEAD_AES_256_GCM, AES_256_CTR, 0 },
	{ "TLS_CHACHA20_POLY1305_SHA256", 32, CHACHA20_POLY1305, AEAD_CHACHA20_POLY1305, CHACHA20, 0 },
	{ "TLS_AES_128_CCM_SHA256", 16, AES_128_CCM, NULL, AES_128_CTR, 1 },
};

/* One key in one direction, as HAProxy keeps it for all packets of a connection. */
struct context {
	const struct suite *suite;
	int aead_api;
	int sealing;
	int tag_length;
	int iv_length;
	EVP_CIPHER_CTX *cipher;
	EVP_AEAD_CTX *aead;
};

/* What a check has come to; lies in memory shared with the parent, which reads it after a crash, too. */
static struct shared {
	size_t check; /* index in CHECKS */
	int failed; /* of the cases */
	size_t length, aad, offset; /* of the case at work */
	size_t first_length, first_aad, first_offset;
	char problem[200]; /* of the first case that failed */
	unsigned char wrong[COUNT(LENGTHS)]; /* by length: some case failed */
	unsigned char seen[COUNT(LENGTHS)];
} *shared;

/* The calls of HAProxy. Each returns 1, or 0 if the library refused. */

/* quic_tls_rx_ctx_init, quic_tls_tx_ctx_init */
static int context_init(struct context *c, const struct suite *suite, int aead_api, int sealing,
                        const unsigned char *key, int iv_length, int tag_length)
{
	EVP_CIPHER_CTX *ctx;
	void *no_tag = NULL;
#ifdef LIBRESSL_VERSION_NUMBER
	/* HAProxy never uses CCM there (it is no TLS suite of LibreSSL), and LibreSSL takes the tag's length only
	 * together with a tag when it is to open; the real one follows with each message. */
	static unsigned char any_tag[TAG];

	if (suite->ccm && !sealing)
		no_tag = any_tag;
#endif

	memset(c, 0, sizeof(*c));
	c->suite = suite;
	c->aead_api = aead_api;
	c->sealing = sealing;
	c->iv_length = iv_length;
	c->tag_length = tag_length;
#ifdef HAVE_AEAD_API
	if (aead_api) {
#if defined(LIBRESSL_VERSION_NUMBER)
		c->aead = EVP_AEAD_CTX_new();
		return c->aead && EVP_AEAD_CTX_init(c->aead, suite->aead(), key, suite->key_length,
		                                    EVP_AEAD_DEFAULT_TAG_LENGTH, NULL);
#else
		c->aead = EVP_AEAD_CTX_new(suite->aead(), key, suite->key_length, EVP_AEAD_DEFAULT_TAG_LENGTH);
		return c->aead != NULL;
#endif
	}
#endif
	ctx = c->cipher = EVP_CIPHER_CTX_new();
	if (!ctx)
		return 0;
	if (sealing)
		return EVP_EncryptInit_ex(ctx, suite->cipher(), NULL, NULL, NULL) &&
		       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, iv_length, NULL) &&
		       (!suite->ccm || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_length, NULL)) &&
		       EVP_EncryptInit_ex(ctx, NULL, NULL, key, NULL);
	return EVP_DecryptInit_ex(ctx, suite->cipher(), NULL, NULL, NULL) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, iv_length, NULL) &&
	       (!suite->ccm || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_length, no_tag)) &&
	       EVP_DecryptInit_ex(ctx, NULL, NULL, key, NULL);
}

static void context_free(struct context *c)
{
#ifdef HAVE_AEAD_API
	if (c->aead)
		EVP_AEAD_CTX_free(c->aead);
#endif
	if (c->cipher)
		EVP_CIPHER_CTX_free(c->cipher);
}

/* quic_tls_encrypt; there `in` and `out` are the same. The tag is written behind the ciphertext. */
static int seal(struct context *c, unsigned char *out, const unsigned char *in, size_t length,
                const unsigned char *iv, const unsigned char *aad, size_t aad_length)
{
	int written;

#ifdef HAVE_AEAD_API
	if (c->aead_api) {
		size_t sealed;

		return EVP_AEAD_CTX_seal(c->aead, out, &sealed, length + TAG, iv, c->iv_length,
		                         in, length, aad, aad_length) && sealed == length + TAG;
	}
#endif
	return EVP_EncryptInit_ex(c->cipher, NULL, NULL, NULL, iv) &&
	       (!c->suite->ccm || EVP_EncryptUpdate(c->cipher, NULL, &written, NULL, (int)length)) &&
	       EVP_EncryptUpdate(c->cipher, NULL, &written, aad, (int)aad_length) &&
	       EVP_EncryptUpdate(c->cipher, out, &written, in, (int)length) &&
	       EVP_EncryptFinal_ex(c->cipher, out + written, &written) &&
	       EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_GET_TAG, c->tag_length, out + length);
}

/* quic_tls_decrypt (`in` and `out` are the same) and quic_tls_decrypt2. `length` is without the tag. */
static int open_sealed(struct context *c, unsigned char *out, unsigned char *in, size_t length,
                       const unsigned char *iv, const unsigned char *aad, size_t aad_length)
{
	int written;

#ifdef HAVE_AEAD_API
	if (c->aead_api) {
		size_t opened;

		return EVP_AEAD_CTX_open(c->aead, out, &opened, length + TAG, iv, c->iv_length,
		                         in, length + TAG, aad, aad_length) && opened == length;
	}
#endif
	return EVP_DecryptInit_ex(c->cipher, NULL, NULL, NULL, iv) &&
	       EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_SET_TAG, c->tag_length, in + length) &&
	       (!c->suite->ccm || EVP_DecryptUpdate(c->cipher, NULL, &written, NULL, (int)length)) &&
	       EVP_DecryptUpdate(c->cipher, NULL, &written, aad, (int)aad_length) &&
	       EVP_DecryptUpdate(c->cipher, out, &written, in, (int)length) &&
	       (c->suite->ccm || EVP_DecryptFinal_ex(c->cipher, out + written, &written));
}

/* Messages. tests/probe/aead_expected.py makes the same ones to compute expected.h. */

static _Alignas(64) unsigned char key[32], plain[LONGEST], associated[OFFSETS + 64];

static void make_messages(void)
{
	size_t i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)(0x80 + 3 * i);
	for (i = 0; i < sizeof(plain); i++)
		plain[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + 1);
}

/* Like a packet number: the IV differs with each message. */
static void make_iv(unsigned char *iv, size_t length, size_t aad_length)
{
	size_t i;

	for (i = 0; i < IV; i++)
		iv[i] = (unsigned char)(0x10 + i);
	iv[9] ^= (unsigned char)aad_length;
	iv[10] ^= (unsigned char)(length >> 8);
	iv[11] ^= (unsigned char)length;
}

static const unsigned char *make_aad(size_t length, size_t offset)
{
	size_t i;

	for (i = 0; i < length; i++)
		associated[offset + i] = (unsigned char)(0xc3 + 5 * i);
	return associated + offset;
}

/* A place for a message at any offset, with guards around it that nobody may touch. */
struct area {
	unsigned char *memory, *start;
	size_t room;
};

static struct area areas[2];

static unsigned char *place(int which, size_t offset, size_t room)
{
	struct area *area = &areas[which];

	if (!area->memory && posix_memalign((void **)&area->memory, 64, LONGEST + TAG + OFFSETS + 2 * GUARD))
		_exit(3);
	memset(area->memory, 0xa5, LONGEST + TAG + OFFSETS + 2 * GUARD);
	area->start = area->memory + GUARD + offset;
	area->room = room;
	return area->start;
}

static int guards_hold(int which)
{
	const struct area *area = &areas[which];
	const unsigned char *end = area->start + area->room, *byte;

	for (byte = area->memory; byte < area->start; byte++)
		if (*byte != 0xa5)
			return 0;
	for (byte = end; byte < end + GUARD; byte++)
		if (*byte != 0xa5)
			return 0;
	return 1;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(const unsigned char *data, size_t length)
{
	uint64_t value = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < length; i++)
		value = (value ^ data[i]) * 0x100000001b3u;
	return value;
}

/* Bookkeeping of cases. */

static void at(size_t length, size_t aad, size_t offset)
{
	shared->length = length;
	shared->aad = aad;
	shared->offset = offset;
}

static void note(const char *problem)
{
	size_t i;

	for (i = 0; i < COUNT(LENGTHS); i++) {
		if (LENGTHS[i] != shared->length)
			continue;
		shared->seen[i] = 1;
		shared->wrong[i] |= problem != NULL;
	}
	if (!problem || shared->failed++)
		return;
	shared->first_length = shared->length;
	shared->first_aad = shared->aad;
	shared->first_offset = shared->offset;
	snprintf(shared->problem, sizeof(shared->problem), "%s", problem);
}

/* The cases. Each returns what went wrong, or NULL. */

static const char *seal_case(struct context *c, size_t l, size_t a, size_t offset, int in_place)
{
	size_t length = LENGTHS[l], aad_length = AADS[a];
	unsigned char iv[IV];
	unsigned char *out = place(0, offset, length + TAG);
	const unsigned char *in = plain;

	make_iv(iv, length, aad_length);
	if (in_place) {
		memcpy(out, plain, length);
		in = out;
	} else if (offset) {
		in = memcpy(place(1, offset, length), plain, length);
	}
	if (!seal(c, out, in, length, iv, make_aad(aad_length, offset), aad_length))
		return "the library refuses to seal";
	if (!guards_hold(0))
		return "bytes outside of the packet were overwritten";
	if (hash(out, length + TAG) != EXPECTED[l][a][c->suite - SUITES])
		return "wrong ciphertext or tag";
	return NULL;
}

static const char *open_case(struct context *sealer, struct context *opener, size_t l, size_t a,
                             size_t offset, int in_place)
{
	size_t length = LENGTHS[l], aad_length = AADS[a];
	unsigned char iv[IV];
	unsigned char *in, *out = place(1, 0, length + TAG);

	make_iv(iv, length, aad_length);
	/* Sealed out of place and at aligned addresses, whatever is asked of opening. */
	if (!seal(sealer, out, plain, length, iv, make_aad(aad_length, 0), aad_length))
		return "not tried: the library refuses to seal";
	in = memcpy(place(0, offset, length + TAG), out, length + TAG);
	out = in_place ? in : place(1, 0, length);
	if (!open_sealed(opener, out, in, length, iv, make_aad(aad_length, offset), aad_length))
		return "the library refuses what it sealed itself";
	if (memcmp(out, plain, length))
		return "the plaintext is wrong";
	if (!guards_hold(0) || (!in_place && !guards_hold(1)))
		return "bytes outside of the packet were overwritten";
	return NULL;
}

/* One changed bit, every `step` bits from `bit` on: `where` is 0 in the ciphertext, 1 in the tag, 2 in
 * the AAD. */
static const char *reject_case(struct context *sealer, struct context *opener, size_t length,
                               size_t aad_length, int where, size_t bit, size_t step)
{
	unsigned char iv[IV];
	unsigned char *aad = (unsigned char *)make_aad(aad_length, 0);
	unsigned char *in = place(0, 0, length + TAG), *out = place(1, 0, length + TAG);
	unsigned char *target = where == 0 ? in : where == 1 ? in + length : aad;
	size_t bits = 8 * (where == 0 ? length : where == 1 ? TAG : aad_length);
	int accepted = 0;

	make_iv(iv, length, aad_length);
	if (bits && !seal(sealer, in, plain, length, iv, aad, aad_length))
		return "not tried: the library refuses to seal";
	for (; bit < bits; bit += step) {
		target[bit / 8] ^= (unsigned char)(1 << bit % 8);
		accepted += open_sealed(opener, out, in, length, iv, aad, aad_length);
		target[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	return accepted ? "a packet with one flipped bit is accepted" : NULL;
}

/* The checks. */

struct check {
	const char *name;
	void (*run)(const struct suite *suite, int aead_api);
	int cipher_api_only;
	int by_source; /* a failure is told with its source, not with its length */
};

static int both(struct context *sealer, struct context *opener, const struct suite *suite, int aead_api)
{
	if (context_init(sealer, suite, aead_api, 1, key, IV, TAG) &&
	    context_init(opener, suite, aead_api, 0, key, IV, TAG))
		return 1;
	at(0, 0, 0);
	note("the library refuses to set a key");
	return 0;
}

static void sealing(const struct suite *suite, int aead_api, int in_place, int unaligned)
{
	struct context sealer, opener;
	size_t l, a, offset;

	if (!both(&sealer, &opener, suite, aead_api))
		return;
	for (l = 0; l < COUNT(LENGTHS); l++)
		for (a = 0; a < COUNT(AADS); a++)
			/* Unaligned: each offset with another AAD, as all pairs would only take longer. */
			for (offset = unaligned ? 1 + a : 0; offset < (unaligned ? OFFSETS : 1); offset += COUNT(AADS)) {
				at(LENGTHS[l], AADS[a], offset);
				note(seal_case(&sealer, l, a, offset, in_place));
			}
	context_free(&sealer);
	context_free(&opener);
}

static void opening(const struct suite *suite, int aead_api, int in_place, int unaligned)
{
	struct context sealer, opener;
	size_t l, a, offset;

	if (!both(&sealer, &opener, suite, aead_api))
		return;
	for (l = 0; l < COUNT(LENGTHS); l++)
		for (a = 0; a < COUNT(AADS); a++)
			for (offset = unaligned ? 1 + a : 0; offset < (unaligned ? OFFSETS : 1); offset += COUNT(AADS)) {
				at(LENGTHS[l], AADS[a], offset);
				note(open_case(&sealer, &opener, l, a, offset, in_place));
			}
	context_free(&sealer);
	context_free(&opener);
}

static void rejecting(const struct suite *suite, int aead_api, int where)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 64, 65, 255, 1200 };
	struct context sealer, opener;
	size_t l, a, step;

	if (!both(&sealer, &opener, suite, aead_api))
		return;
	for (l = 0; l < COUNT(lengths); l++)
		for (a = 0; a < COUNT(AADS); a++) {
			/* Odd, so that all bits of a byte come up; every bit of a tag once, at 64 bytes. */
			step = where == 1 ? (lengths[l] == 64 && a == 0 ? 1 : 13) : lengths[l] < 100 ? 13 : 397;
			at(lengths[l], AADS[a], 0);
			note(reject_case(&sealer, &opener, lengths[l], AADS[a], where, a, step));
		}
	context_free(&sealer);
	context_free(&opener);
}

static void check_seal(const struct suite *s, int api) { sealing(s, api, 0, 0); }
static void check_seal_in_place(const struct suite *s, int api) { sealing(s, api, 1, 0); }
static void check_seal_unaligned(const struct suite *s, int api) { sealing(s, api, 0, 1); }
static void check_seal_in_place_unaligned(const struct suite *s, int api) { sealing(s, api, 1, 1); }
static void check_open(const struct suite *s, int api) { opening(s, api, 0, 0); }
static void check_open_in_place(const struct suite *s, int api) { opening(s, api, 1, 0); }
static void check_open_unaligned(const struct suite *s, int api) { opening(s, api, 0, 1); }
static void check_open_in_place_unaligned(const struct suite *s, int api) { opening(s, api, 1, 1); }
static void check_reject_ciphertext(const struct suite *s, int api) { rejecting(s, api, 0); }
static void check_reject_tag(const struct suite *s, int api) { rejecting(s, api, 1); }
static void check_reject_aad(const struct suite *s, int api) { rejecting(s, api, 2); }

/* A forged packet must not spoil the connection: the next good one opens with the same context. */
static void check_open_after_reject(const struct suite *suite, int aead_api)
{
	struct context sealer, opener;
	const char *problem;
	size_t l;

	if (!both(&sealer, &opener, suite, aead_api))
		return;
	for (l = 1; l < COUNT(LENGTHS); l++) {
		at(LENGTHS[l], AADS[1], 0);
		(void)reject_case(&sealer, &opener, LENGTHS[l], AADS[1], 1, 5, 8 * TAG);
		problem = open_case(&sealer, &opener, l, 1, 0, 0);
		note(problem);
	}
	context_free(&sealer);
	context_free(&opener);
}

static size_t unhex(const char *text, unsigned char *out)
{
	size_t length = 0;
	unsigned int byte;

	for (; text[0] && sscanf(text, "%2x", &byte) == 1; text += 2)
		out[length++] = (unsigned char)byte;
	return length;
}

static const char *vector_case(const struct suite *suite, int aead_api, const struct vector *v)
{
	unsigned char k[32], iv[16], aad[256], text[LONGEST], sealed[LONGEST], out[LONGEST + TAG];
	struct context sealer, opener;
	size_t iv_length = unhex(v->iv, iv), aad_length = unhex(v->aad, aad);
	size_t length = unhex(v->text, text), sealed_length = unhex(v->sealed, sealed);
	int tag = (int)(sealed_length - length);

	unhex(v->key, k);
	at(length, aad_length, 0);
	if (!context_init(&sealer, suite, aead_api, 1, k, (int)iv_length, tag) ||
	    !context_init(&opener, suite, aead_api, 0, k, (int)iv_length, tag))
		return "the library refuses to set a key";
	if (!seal(&sealer, out, text, length, iv, aad, aad_length))
		return "the library refuses to seal";
	if (memcmp(out, sealed, sealed_length))
		return "wrong ciphertext or tag";
	if (!open_sealed(&opener, out, sealed, length, iv, aad, aad_length))
		return "the library refuses to open";
	if (memcmp(out, text, length))
		return "wrong plaintext";
	context_free(&sealer);
	context_free(&opener);
	return NULL;
}

static void check_known_answer(const struct suite *suite, int aead_api)
{
	char problem[200];
	const char *why;
	size_t i;

	for (i = 0; i < COUNT(VECTORS); i++) {
		if (&SUITES[VECTORS[i].suite] != suite)
			continue;
		why = vector_case(suite, aead_api, &VECTORS[i]);
		if (why)
			snprintf(problem, sizeof(problem), "%s: %s", VECTORS[i].source, why);
		note(why ? problem : NULL);
	}
}

/* Not AEAD, and of no use without it: the mask over a packet's header. quic_tls_dec_aes_ctx_init and
 * quic_tls_aes_decrypt, as qc_do_rm_hp calls them: the sample is the IV, five zeros are "decrypted". */
static void check_header_protection(const struct suite *suite, int aead_api)
{
	unsigned char k[32], sample[16], mask[8], out[5];
	EVP_CIPHER_CTX *ctx;
	size_t i;
	int written;
	char problem[200];

	(void)aead_api;
	for (i = 0; i < COUNT(MASKS); i++) {
		if (&SUITES[MASKS[i].suite] != suite)
			continue;
		unhex(MASKS[i].key, k);
		unhex(MASKS[i].sample, sample);
		unhex(MASKS[i].mask, mask);
		at(sizeof(out), 0, 0);
		memset(out, 0, sizeof(out));
		ctx = EVP_CIPHER_CTX_new();
		if (!ctx || !EVP_DecryptInit_ex(ctx, suite->header(), NULL, k, NULL) ||
		    !EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, sample) ||
		    !EVP_DecryptUpdate(ctx, out, &written, out, sizeof(out)) ||
		    !EVP_DecryptFinal_ex(ctx, out, &written)) {
			snprintf(problem, sizeof(problem), "%s: the library refuses", MASKS[i].source);
			note(problem);
		} else if (memcmp(out, mask, sizeof(out))) {
			snprintf(problem, sizeof(problem), "%s: wrong mask", MASKS[i].source);
			note(problem);
		} else {
			note(NULL);
		}
		EVP_CIPHER_CTX_free(ctx);
	}
}

static const struct check CHECKS[] = {
	{ "known-answer", check_known_answer, 0, 1 },
	{ "header-protection", check_header_protection, 1, 1 },
	{ "seal", check_seal, 0, 0 },
	{ "seal-in-place", check_seal_in_place, 0, 0 },
	{ "seal-unaligned", check_seal_unaligned, 0, 0 },
	{ "seal-in-place-unaligned", check_seal_in_place_unaligned, 0, 0 },
	{ "open", check_open, 0, 0 },
	{ "open-in-place", check_open_in_place, 0, 0 },
	{ "open-unaligned", check_open_unaligned, 0, 0 },
	{ "open-in-place-unaligned", check_open_in_place_unaligned, 0, 0 },
	{ "reject-tag", check_reject_tag, 0, 0 },
	{ "reject-aad", check_reject_aad, 0, 0 },
	{ "reject-ciphertext", check_reject_ciphertext, 0, 0 },
	{ "open-after-reject", check_open_after_reject, 0, 0 },
};

/* Telling. */

static void say(const struct suite *suite, int aead_api, const char *check, const char *ok,
                const char *format, ...)
{
	va_list arguments;

	/* No text of ours has a quote or a backslash in it. */
	printf("{\"suite\": \"%s\", \"api\": \"%s\", \"check\": \"%s\", \"ok\": %s, \"detail\": \"",
	       suite->name, aead_api ? "evp-aead" : "evp-cipher", check, ok);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\"}\n");
	fflush(stdout);
}

static const char *bytes(size_t count)
{
	static char texts[4][32];
	static int turn;
	char *text = texts[turn++ % 4];

	snprintf(text, sizeof(texts[0]), count == 1 ? "%zu byte" : "%zu bytes", count);
	return text;
}

/* "every length", "every length from 1 byte on" or "3 of 40 lengths". */
static const char *extent(void)
{
	static char text[64];
	size_t i, seen = 0, wrong = 0, first = 0, behind = 0;

	for (i = 0; i < COUNT(LENGTHS); i++) {
		if (!shared->seen[i])
			continue;
		seen++;
		wrong += shared->wrong[i];
		if (shared->wrong[i] && wrong == 1)
			first = LENGTHS[i];
		behind += wrong > 0;
	}
	if (wrong == seen)
		return "every length";
	if (wrong == behind && wrong > 1)
		snprintf(text, sizeof(text), "every length from %s on", bytes(first));
	else
		snprintf(text, sizeof(text), "%zu of %zu lengths", wrong, seen);
	return text;
}

static const char *signal_name(int number)
{
	static char text[16];

	switch (number) {
	case SIGSEGV: return "SIGSEGV";
	case SIGABRT: return "SIGABRT";
	case SIGBUS: return "SIGBUS";
	case SIGILL: return "SIGILL";
	case SIGFPE: return "SIGFPE";
	case SIGKILL: return "SIGKILL";
	}
	snprintf(text, sizeof(text), "signal %d", number);
	return text;
}

/* In the process of a suite. */
static void run_check(const struct suite *suite, int aead_api, const struct check *check)
{
	check->run(suite, aead_api);
	if (!shared->failed)
		say(suite, aead_api, check->name, "true", "%s", "");
	else if (check->by_source)
		say(suite, aead_api, check->name, "false", "%s", shared->problem);
	else
		say(suite, aead_api, check->name, "false", "%s; first with %s, AAD of %s, offset %zu: %s", extent(),
		    bytes(shared->first_length), bytes(shared->first_aad), shared->first_offset, shared->problem);
}

static void run_from(const struct suite *suite, int aead_api, size_t first)
{
	size_t i;

	for (i = first; i < COUNT(CHECKS); i++) {
		memset(shared, 0, sizeof(*shared));
		shared->check = i;
		if (CHECKS[i].cipher_api_only && (aead_api || !suite->header))
			continue;
		alarm(PATIENCE);
		run_check(suite, aead_api, &CHECKS[i]);
	}
	_exit(0);
}

/* One process for all checks of a suite, since under QEMU a new one compiles everything anew; where it
 * dies, another goes on behind the check that killed it. */
static void run_suite(const struct suite *suite, int aead_api)
{
	size_t next = 0;
	int status;
	char how[64];
	pid_t child;

	while (next < COUNT(CHECKS)) {
		shared->check = next;
		child = fork();
		if (child == 0)
			run_from(suite, aead_api, next);
		if (child < 0 || waitpid(child, &status, 0) < 0) {
			say(suite, aead_api, CHECKS[next].name, "null", "no process could be started for it");
			return;
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
			snprintf(how, sizeof(how), "does not end within %d s", PATIENCE);
		else if (WIFSIGNALED(status))
			snprintf(how, sizeof(how), "crashes with %s", signal_name(WTERMSIG(status)));
		else
			snprintf(how, sizeof(how), "ends with exit code %d", WEXITSTATUS(status));
		say(suite, aead_api, CHECKS[shared->check].name, "false", "%s with %s, AAD of %s, offset %zu", how,
		    bytes(shared->length), bytes(shared->aad), shared->offset);
		next = shared->check + 1;
	}
}

int main(void)
{
	size_t s;
	int api;

	make_messages();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	printf("{\"library\": \"%s\"}\n", OpenSSL_version(OPENSSL_VERSION));
	fflush(stdout);
	for (s = 0; s < COUNT(SUITES); s++)
		for (api = 0; api < 2; api++) {
			const struct suite *suite = &SUITES[s];

			if (api ? !suite->aead : !suite->cipher) {
				say(suite, api, "available", "null", "%s", "the library does not have it");
				continue;
			}
			run_suite(suite, api);
		}
	return 0;
}
