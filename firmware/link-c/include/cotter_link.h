/* The AT link for C: one end of the serial line between an ESP-AT module and its host MCU, host or module.
 *
 *   psk         authenticated, whole and in order, from one shared key of 32 bytes
 *   noise-nn    the same, and what was recorded stays secret when the key is lost (X25519)
 *   noise-kk    the same, and either end also has a static key that the other expects
 *   compat      as Espressif's at_interface_security example does: a bare keystream, see cotter_compat_create
 *
 * What each protects from is in docs/link.md. Nothing here knows AT, allocates, blocks, or has a clock of its own: bytes
 * and milliseconds go in, bytes come out. There is no way back to plain text.
 *
 *   static cotter_link_psk_storage storage;
 *   cotter_link *link;
 *   cotter_link_settings settings;
 *   cotter_link_settings_default(&settings, COTTER_LINK_HOST, 115200);
 *   cotter_link_create_psk(storage.bytes, sizeof storage.bytes, &settings, key, my_random, NULL, &link);
 *   for (;;) {
 *       while (cotter_link_transmit(link, now(), out, sizeof out, &len) == COTTER_LINK_OK && len > 0)
 *           uart_write(out, len);
 *       got = uart_read(in, sizeof in);                  // until cotter_link_wake_at at the latest
 *       at = 0;
 *       do {
 *           cotter_link_receive(link, in + at, got - at, now(), &used, &event);
 *           at += used;
 *           // event.kind: opened, data, escape, refused
 *       } while (at < got || event.kind != COTTER_LINK_EVENT_NONE);
 *   }
 *
 * A whole program for a POSIX serial port is examples/serial_host.c.
 *
 * RULES for all calls
 *
 * Memory. The caller gives the storage, aligned as cotter_link_psk_storage or cotter_compat_storage is, and leaves it alone
 * and in its place until the wipe; it must not be copied or moved. A cotter_link pointer is the address of its storage.
 * Storage that no create has filled yet must be zeros (static storage is) if any other call may be given it; that is refused
 * with COTTER_LINK_NONE then. What keys, settings and contents are read from need not live longer than the call; the random
 * callback and its context must live as long as the link.
 *
 * Pointers. NULL and unaligned ones are refused, except that a pointer to 0 bytes may be anything. Whatever else is not
 * NULL must point to as much memory as is said. No pointer of a call may point into the storage of its link (refused with
 * COTTER_LINK_OVERLAP), and what a call writes must not overlap what else it is given; what it only reads may.
 *
 * Results. Each call returns COTTER_LINK_OK or a negative number, and then has changed nothing, unless it says otherwise.
 * What a call writes through its pointers is 0 after an error, if the pointer itself was not refused.
 *
 * Threads. One call at a time per link, from anywhere but an interrupt that interrupts such a call. Different links know
 * nothing of each other. There is no global state.
 *
 * Stack. docs/link.md has the bytes that a call needs at most; X25519 needs the most.
 *
 * Faults. No input can make the library abort. If an invariant does not hold all the same (its error, or broken memory), it
 * calls cotter_link_panicked, which traps unless the program defines its own.
 *
 * Linking. The library needs memcpy, memmove, memset, memcmp and bcmp on a machine with an operating system, and nothing on
 * bare riscv32. It is one Rust library: a program that has a second one gets the compiler's own helpers twice, as weak
 * symbols. Link with --gc-sections: what a program does not call is left out.
 */
#ifndef COTTER_LINK_H
#define COTTER_LINK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What calls return. ---- */

#define COTTER_LINK_OK 0
/* A pointer is NULL, the random callback included. */
#define COTTER_LINK_NULL (-1)
#define COTTER_LINK_ALIGNMENT (-2)
/* The storage is too small. */
#define COTTER_LINK_SMALL (-3)
/* More bytes than may be given at once. */
#define COTTER_LINK_LENGTH (-4)
/* A pointer into the storage of the link. */
#define COTTER_LINK_OVERLAP (-5)
/* There is no link: never created, or wiped. */
#define COTTER_LINK_NONE (-6)
/* Called from the link's own random callback. */
#define COTTER_LINK_BUSY (-7)
/* A side, suite, cipher, flag or time that has no meaning. */
#define COTTER_LINK_ARGUMENT (-8)
/* The random callback had none. The link is wiped, and nothing that was made without random bytes has left it. */
#define COTTER_LINK_RANDOM (-9)
/* The example's key (all A), or a shared key of 32 equal bytes, and nobody asked for it. */
#define COTTER_LINK_EXAMPLE_KEY (-10)
/* The example's IV (all T), and nobody asked for it. */
#define COTTER_LINK_EXAMPLE_IV (-11)
/* Not as long as the cipher's. */
#define COTTER_LINK_KEY_LENGTH (-12)
#define COTTER_LINK_IV_LENGTH (-13)
/* A public X25519 key that no honest end has. */
#define COTTER_LINK_LOW_ORDER (-14)
/* The other end's public key is this end's own. */
#define COTTER_LINK_OWN_KEY (-15)
/* The other end has not proven itself yet; nothing is sent in any form. */
#define COTTER_LINK_NOT_OPEN (-16)
/* The output buffer holds no frame. */
#define COTTER_LINK_NO_ROOM (-17)
/* No room for an escape now: another one, or too much, is unacknowledged. */
#define COTTER_LINK_FULL (-18)
/* The keystream is used up (ChaCha20 after 256 GiB). */
#define COTTER_LINK_EXHAUSTED (-19)
/* Ingredients: a MAC address has 6 or 8 bytes (or 0), a unique id 16 (or 0), own data at most 255. */
#define COTTER_LINK_MAC_LENGTH (-20)
#define COTTER_LINK_UNIQUE_ID_LENGTH (-21)
#define COTTER_LINK_OWN_LENGTH (-22)

/* ---- Why something on the wire was refused. It has changed nothing; the other end learns nothing of it. ---- */

/* Delimiting: bytes were lost, inserted or changed. */
#define COTTER_LINK_REFUSED_TOO_LONG 1
#define COTTER_LINK_REFUSED_CUT_SHORT 2
#define COTTER_LINK_REFUSED_EMPTY 3
/* Frames of a session: damaged, sent back, replayed, or forged. */
#define COTTER_LINK_REFUSED_TOO_SHORT 4
#define COTTER_LINK_REFUSED_REFLECTED 5
#define COTTER_LINK_REFUSED_UNKNOWN_KIND 6
#define COTTER_LINK_REFUSED_REPLAYED 7
/* The tag does not hold. */
#define COTTER_LINK_REFUSED_FRAME 8
/* Authentic, but not as this version has it. */
#define COTTER_LINK_REFUSED_PAYLOAD 9
#define COTTER_LINK_REFUSED_EXHAUSTED 10
/* Messages of a handshake. */
#define COTTER_LINK_REFUSED_LENGTH 11
#define COTTER_LINK_REFUSED_VERSION 12
/* The other end was told another mode, or somebody wants this one to take a weaker one. */
#define COTTER_LINK_REFUSED_OTHER_MODE 13
#define COTTER_LINK_REFUSED_SUITE 14
#define COTTER_LINK_REFUSED_NO_COMMON_SUITE 15
#define COTTER_LINK_REFUSED_LONGEST_FRAME 16
#define COTTER_LINK_REFUSED_LOW_ORDER 17
/* Nobody who knows the key said this: usually the other end has another key. */
#define COTTER_LINK_REFUSED_HANDSHAKE 18
/* A frame before any handshake: the other end was not told that this one was reset. It will be. */
#define COTTER_LINK_REFUSED_NO_SESSION 19
#define COTTER_LINK_REFUSED_REPLAYED_HELLO 20
#define COTTER_LINK_REFUSED_TOO_SOON 21
#define COTTER_LINK_REFUSED_UNEXPECTED_REPLY 22
#define COTTER_LINK_REFUSED_UNEXPECTED_FINISH 23

/* The words for a result or a refusal, for a log; never NULL, never freed. A program that does not call it does not link
 * the words. */
const char *cotter_link_text(int32_t code);

/* ---- An end with a handshake. ---- */

#define COTTER_LINK_HOST 0
#define COTTER_LINK_MODULE 1

#define COTTER_LINK_PSK 0x01
#define COTTER_LINK_NOISE_NN 0x11
#define COTTER_LINK_NOISE_KK 0x21

/* Suites. Of those that both ends allow, the one that comes first here is taken. Noise always has the first. */
#define COTTER_LINK_CHACHA20_POLY1305 1
#define COTTER_LINK_AES_128_GCM 2
#define COTTER_LINK_ASCON_AEAD128 3
#define COTTER_LINK_AES_128_CCM 4
/* The same with a tag of 8 bytes instead of 16. */
#define COTTER_LINK_AES_128_CCM_8 5
/* All of them, for cotter_link_settings.suites; suite n alone is 1 << (n - 1). */
#define COTTER_LINK_SUITES_ALL 0x1f

/* Bytes of each key. */
#define COTTER_LINK_KEY 32
/* The longest frame that an end takes, before delimiting, and how much it holds until it is acknowledged. */
#define COTTER_LINK_FRAME 280
#define COTTER_LINK_WINDOW 1024
/* What the output buffer of cotter_link_transmit should have, and must have. */
#define COTTER_LINK_WIRE 284
#define COTTER_LINK_WIRE_LEAST 67

/* Bytes of storage. */
#if UINTPTR_MAX > 0xffffffffu
#define COTTER_LINK_SIZE_PSK 2304
#define COTTER_LINK_SIZE_NOISE 2560
#define COTTER_COMPAT_SIZE 1152
#else
#define COTTER_LINK_SIZE_PSK 2176
#define COTTER_LINK_SIZE_NOISE 2496
#define COTTER_COMPAT_SIZE 640
#endif

/* Storage of a psk link. */
typedef union cotter_link_psk_storage {
    uint64_t alignment;
    uint8_t bytes[COTTER_LINK_SIZE_PSK];
} cotter_link_psk_storage;

/* Storage of a noise link; a psk link may have it too. */
typedef union cotter_link_noise_storage {
    uint64_t alignment;
    uint8_t bytes[COTTER_LINK_SIZE_NOISE];
} cotter_link_noise_storage;

typedef struct cotter_link cotter_link;

/* Fills `len` bytes at `out` from a cryptographic random source and returns 0; anything else if it cannot, which wipes the
 * link: wait inside for a source that is not ready yet. On an ESP32: esp_fill_random, with its entropy source on. `context`
 * is what was given to the create. Called by cotter_link_receive and cotter_link_transmit only, for 16 or 32 bytes once per
 * handshake. It must return (no longjmp, no exception) and may call nothing of its own link: COTTER_LINK_BUSY. */
typedef int32_t (*cotter_link_random)(void *context, uint8_t *out, size_t len);

/* What an end is told once. Fill it with cotter_link_settings_default and change what is to be otherwise. */
typedef struct cotter_link_settings {
    /* New keys after so many frames of one direction, and after so many milliseconds; neither 0. After twice as many nothing
     * is sent until there are new ones. */
    uint64_t rekey_frames;
    uint64_t rekey_millis;
    /* How long to wait for the first answer, not 0; it doubles with each that does not come, up to at_most. Noise on a slow
     * MCU: add the time of the X25519 of both ends. */
    uint32_t answer_millis;
    uint32_t answer_at_most_millis;
    /* A module takes different hellos this far apart. */
    uint32_t between_replies_millis;
    /* COTTER_LINK_HOST greets, COTTER_LINK_MODULE is greeted. */
    uint8_t side;
    /* Set of suites. */
    uint8_t suites;
    /* How many answers in a row may fail to come until a new handshake is tried; not 0. */
    uint8_t patience;
    /* 1: a shared key of 32 equal bytes is taken although everybody knows it. Else 0. */
    uint8_t allow_example_keys;
} cotter_link_settings;

/* For a line of `baud` baud: any suite, new keys each hour or after 2^20 frames.
 * COTTER_LINK_ARGUMENT: no such side, or 0 baud. */
int32_t cotter_link_settings_default(cotter_link_settings *settings, uint8_t side, uint32_t baud);

/* Makes a link as after a reset. `*link` is `storage`, or NULL after an error. What was in the storage is overwritten; wipe
 * a link before its storage is used anew for something else. Keys are copied; wipe your copies.
 * COTTER_LINK_NULL, _ALIGNMENT, _SMALL, _OVERLAP (`link` in the storage), _ARGUMENT, _EXAMPLE_KEY. */
int32_t cotter_link_create_psk(void *storage, size_t size, const cotter_link_settings *settings,
                               const uint8_t psk[COTTER_LINK_KEY], cotter_link_random random, void *context,
                               cotter_link **link);

/* The same with forward secrecy. settings->suites is checked and does not count. */
int32_t cotter_link_create_noise_nn(void *storage, size_t size, const cotter_link_settings *settings,
                                    const uint8_t psk[COTTER_LINK_KEY], cotter_link_random random, void *context,
                                    cotter_link **link);

/* The same with static X25519 keys: `own` is this end's private key (any 32 random bytes), `peer` the other end's public
 * one. Computes one X25519. Also COTTER_LINK_LOW_ORDER, _OWN_KEY. */
int32_t cotter_link_create_noise_kk(void *storage, size_t size, const cotter_link_settings *settings,
                                    const uint8_t psk[COTTER_LINK_KEY], const uint8_t own[COTTER_LINK_KEY],
                                    const uint8_t peer[COTTER_LINK_KEY], cotter_link_random random, void *context,
                                    cotter_link **link);

/* The public X25519 key of a private one: what the other end is to be given. */
int32_t cotter_link_public_key(const uint8_t private_key[COTTER_LINK_KEY], uint8_t out[COTTER_LINK_KEY]);

#define COTTER_LINK_EVENT_NONE 0
/* The other end has proven itself. Unless `continued`, the streams begin anew: the other end was reset, and what was not
 * acknowledged before is gone. */
#define COTTER_LINK_EVENT_OPENED 1
/* The next bytes of the stream: `data`, `len`. */
#define COTTER_LINK_EVENT_DATA 2
/* The other end leaves passthrough, after all the bytes before. */
#define COTTER_LINK_EVENT_ESCAPE 3
/* Something on the wire was not believed: `reason`. A damaged frame comes again by itself. */
#define COTTER_LINK_EVENT_REFUSED 4

typedef struct cotter_link_event {
    /* In the storage of the link, until the next call with this link. NULL unless `kind` says data. */
    const uint8_t *data;
    size_t len;
    /* COTTER_LINK_REFUSED_..., else 0. */
    int32_t reason;
    uint8_t kind;
    /* Opened: with which cipher. */
    uint8_t suite;
    /* Opened: 1 if the streams go on where they were. */
    uint8_t continued;
} cotter_link_event;

/* Takes bytes from the wire until something has come of them: `*used` of them, and `*event`. Call it again with what is
 * left, and then with nothing, until the event is COTTER_LINK_EVENT_NONE. `now`: milliseconds since any moment; they never
 * go back. COTTER_LINK_RANDOM. */
int32_t cotter_link_receive(cotter_link *link, const uint8_t *wire, size_t len, uint64_t now, size_t *used,
                            cotter_link_event *event);

/* Writes the next bytes for the wire: `*len` of them at the beginning of `out`, 0 if there is nothing to say before
 * cotter_link_wake_at. All of them must be sent. After an error the whole of `out` may have been written to.
 * `room`: COTTER_LINK_WIRE; with less, frames are shorter. COTTER_LINK_NO_ROOM below COTTER_LINK_WIRE_LEAST,
 * COTTER_LINK_RANDOM. */
int32_t cotter_link_transmit(cotter_link *link, uint64_t now, uint8_t *out, size_t room, size_t *len);

/* Queues the beginning of `plain`, as much as there is room for: `*taken` bytes. COTTER_LINK_NOT_OPEN. */
int32_t cotter_link_send(cotter_link *link, const uint8_t *plain, size_t len, size_t *taken);

/* Queues the authenticated end of passthrough, after all that was sent before. COTTER_LINK_NOT_OPEN, COTTER_LINK_FULL. */
int32_t cotter_link_escape(cotter_link *link);

/* Begins a new handshake: after the wire was plugged in again, or for new keys now. The present session goes on. */
int32_t cotter_link_reconnect(cotter_link *link);

/* When cotter_link_transmit has something to say although nothing came and nothing was sent; UINT64_MAX for never. */
int32_t cotter_link_wake_at(const cotter_link *link, uint64_t *at);

typedef struct cotter_link_status {
    /* Frames of sessions that were sent, those of them whose data was sent before, authentic frames that came, what was
     * refused, and sessions that were opened. */
    uint64_t sent;
    uint64_t sent_again;
    uint64_t received;
    uint64_t refused;
    uint64_t sessions;
    /* How much cotter_link_send takes now. */
    size_t room;
    /* COTTER_LINK_PSK, ... */
    uint8_t mode;
    /* Of the present session, else 0. */
    uint8_t suite;
    uint8_t is_open;
    uint8_t is_all_acknowledged;
} cotter_link_status;

int32_t cotter_link_status_of(const cotter_link *link, cotter_link_status *status);

/* Ends the link: its keys and contents are overwritten with zeros. Afterwards COTTER_LINK_NONE. */
int32_t cotter_link_wipe(cotter_link *link);

/* ---- Keys: F(x, y, z). ---- */

/* What makes the keys of one link differ from those of others. None of it needs to be secret; what has length 0 is left out. */
typedef struct cotter_link_ingredients {
    /* The chip's base MAC address: 6 bytes, or 8 of an EUI-64. */
    const uint8_t *mac;
    size_t mac_len;
    /* The chip's OPTIONAL_UNIQUE_ID: 16 bytes. */
    const uint8_t *unique_id;
    size_t unique_id_len;
    /* Anything of the product's own: at most 255 bytes. */
    const uint8_t *own;
    size_t own_len;
} cotter_link_ingredients;

/* What the chip's HMAC peripheral is asked to authenticate for `secret`; 25 bytes, without the final zero. */
#define COTTER_LINK_HMAC_MESSAGE "cotter/link/v1/efuse-hmac"

/* The shared key of a link from `secret`, 32 bytes that only its two ends know: what the HMAC peripheral says under an eFuse
 * key, or what both ends were given. COTTER_LINK_MAC_LENGTH, _UNIQUE_ID_LENGTH, _OWN_LENGTH. */
int32_t cotter_link_derive_psk(const uint8_t secret[COTTER_LINK_KEY], const cotter_link_ingredients *ingredients,
                               uint8_t psk[COTTER_LINK_KEY]);

/* ---- compat: Espressif's example. ---- */

/* No integrity, no fresh keys, no proof of who speaks: whoever is on the wire can change commands, replay them, and, once he
 * knows one session, read all. One lost byte ruins all that follows. For a module that runs the example, and nothing else. */

#define COTTER_COMPAT_AES_128_CTR 1
#define COTTER_COMPAT_AES_192_CTR 2
#define COTTER_COMPAT_AES_256_CTR 3
#define COTTER_COMPAT_CHACHA20 4
#define COTTER_COMPAT_SALSA20 5

/* Most bytes at once, the example's. */
#define COTTER_COMPAT_MOST_SENT 4096
#define COTTER_COMPAT_MOST_RECEIVED 8192

/* 16 bytes apart on x86-64, whose registers hold a block of AES. */
typedef union cotter_compat_storage {
    uint64_t alignment;
    long double wide_alignment;
    uint8_t bytes[COTTER_COMPAT_SIZE];
} cotter_compat_storage;

typedef struct cotter_compat cotter_compat;

/* Key and IV of one direction: 16, 24 and 32 bytes of key and 16 of IV for AES, 32 and 12 for ChaCha20, 32 and 8 for
 * Salsa20. */
typedef struct cotter_compat_key {
    const uint8_t *key;
    size_t key_len;
    const uint8_t *iv;
    size_t iv_len;
} cotter_compat_key;

/* Both keystreams from their first byte, as after a reset of the module; create it anew at each. `sending` and `receiving`
 * are the same in the example. `allow_example_keys`: 1 to take its key (all A) and IV (all T), else 0.
 * COTTER_LINK_NULL, _ALIGNMENT, _SMALL, _OVERLAP, _ARGUMENT, _KEY_LENGTH, _IV_LENGTH, _EXAMPLE_KEY, _EXAMPLE_IV. */
int32_t cotter_compat_create(void *storage, size_t size, uint8_t cipher, const cotter_compat_key *sending,
                             const cotter_compat_key *receiving, uint8_t allow_example_keys, cotter_compat **compat);

/* The same with derived keys. `one_key_for_both`: 1 for one key and IV in both directions, as the example has it; 0 for one
 * each, which is better. */
int32_t cotter_compat_create_derived(void *storage, size_t size, uint8_t cipher, uint8_t side, uint8_t one_key_for_both,
                                     const uint8_t secret[COTTER_LINK_KEY], const cotter_link_ingredients *ingredients,
                                     cotter_compat **compat);

/* Encrypts what goes onto the wire, in place. All of it must then be sent, in order. After an error `data` is as it was and
 * must not be sent. COTTER_LINK_LENGTH, COTTER_LINK_EXHAUSTED. */
int32_t cotter_compat_send(cotter_compat *compat, uint8_t *data, size_t len);

/* Decrypts what came from the wire, in place. After an error `data` is as it was, and the keystream has not moved. */
int32_t cotter_compat_receive(cotter_compat *compat, uint8_t *data, size_t len);

/* Overwrites keys and keystreams with zeros. Afterwards COTTER_LINK_NONE. */
int32_t cotter_compat_wipe(cotter_compat *compat);

/* ---- Faults. ---- */

/* The program may define this: log, reset, or go to its own fault handler. If it returns, it is called again, forever.
 * The library's own, which is weak, traps. */
void cotter_link_panicked(void);

#ifdef __cplusplus
}
#endif

#endif
