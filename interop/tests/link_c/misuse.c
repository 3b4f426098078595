/* What a C program can do wrong with the library and be told: each case by the number that it gets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cotter_link.h"

static int checks, failures;

static void check(int32_t got, int32_t expected, const char *what, int line) {
    checks++;
    if (got != expected) {
        failures++;
        printf("misuse.c:%d: %s\n    got %d (%s), expected %d (%s)\n", line, what, (int)got, cotter_link_text(got),
               (int)expected, cotter_link_text(expected));
    }
}

static void holds(int truth, const char *what, int line) {
    checks++;
    if (!truth) {
        failures++;
        printf("misuse.c:%d: not so: %s\n", line, what);
    }
}

#define CHECK(call, expected) check((call), (expected), #call, __LINE__)
#define HOLDS(truth) holds((truth), #truth, __LINE__)

static int32_t counting(void *context, uint8_t *out, size_t len) {
    uint8_t *count = (uint8_t *)context;
    size_t at;
    for (at = 0; at < len; at++) {
        out[at] = (uint8_t)(++*count * 7);
    }
    return 0;
}

static int32_t failing(void *context, uint8_t *out, size_t len) {
    (void)context;
    memset(out, 0, len);
    return 5;
}

static cotter_link *inner;
static int32_t inner_results[8];

/* Calls everything of its own link. */
static int32_t reentering(void *context, uint8_t *out, size_t len) {
    cotter_link_event event;
    cotter_link_status status;
    uint8_t buffer[COTTER_LINK_WIRE];
    size_t size;
    uint64_t at;
    inner_results[0] = cotter_link_transmit(inner, 0, buffer, sizeof buffer, &size);
    inner_results[1] = cotter_link_receive(inner, buffer, 1, 0, &size, &event);
    inner_results[2] = cotter_link_send(inner, buffer, 1, &size);
    inner_results[3] = cotter_link_escape(inner);
    inner_results[4] = cotter_link_reconnect(inner);
    inner_results[5] = cotter_link_wake_at(inner, &at);
    inner_results[6] = cotter_link_status_of(inner, &status);
    inner_results[7] = cotter_link_wipe(inner);
    return counting(context, out, len);
}

static cotter_link_psk_storage host_storage, module_storage;
static cotter_link_noise_storage noise_storage;
static cotter_compat_storage compat_storage;
static uint8_t host_count, module_count = 100;
static uint8_t key[COTTER_LINK_KEY], other[COTTER_LINK_KEY], same[COTTER_LINK_KEY], low[COTTER_LINK_KEY];

static cotter_link *psk(cotter_link_psk_storage *storage, uint8_t side, uint8_t *count) {
    cotter_link_settings settings;
    cotter_link *link = NULL;
    CHECK(cotter_link_settings_default(&settings, side, 115200), COTTER_LINK_OK);
    CHECK(cotter_link_create_psk(storage->bytes, sizeof storage->bytes, &settings, key, counting, count, &link),
          COTTER_LINK_OK);
    HOLDS((void *)link == (void *)storage);
    return link;
}

/* Carries what one end says to the other; returns how many events there were. */
static int carry(cotter_link *from, cotter_link *to, uint64_t now) {
    uint8_t out[COTTER_LINK_WIRE];
    cotter_link_event event;
    size_t len, used, at;
    int events = 0;
    while (cotter_link_transmit(from, now, out, sizeof out, &len) == COTTER_LINK_OK && len > 0) {
        at = 0;
        do {
            CHECK(cotter_link_receive(to, out + at, len - at, now, &used, &event), COTTER_LINK_OK);
            at += used;
            events += event.kind != COTTER_LINK_EVENT_NONE;
        } while (at < len || event.kind != COTTER_LINK_EVENT_NONE);
    }
    return events;
}

static void settings_and_creation(void) {
    cotter_link_settings good, bad;
    cotter_link *link = (cotter_link *)host_storage.bytes;
    uint8_t *raw = (uint8_t *)malloc(COTTER_LINK_SIZE_PSK + 16);
    uint8_t *aligned = raw + (8 - (uintptr_t)raw % 8) % 8;
    size_t size = sizeof host_storage.bytes;
    volatile uintptr_t one = 1;

    CHECK(cotter_link_settings_default(NULL, COTTER_LINK_HOST, 115200), COTTER_LINK_NULL);
    CHECK(cotter_link_settings_default((cotter_link_settings *)(void *)(aligned + one), COTTER_LINK_HOST, 1),
          COTTER_LINK_ALIGNMENT);
    CHECK(cotter_link_settings_default(&good, 2, 115200), COTTER_LINK_ARGUMENT);
    CHECK(cotter_link_settings_default(&good, COTTER_LINK_HOST, 0), COTTER_LINK_ARGUMENT);
    CHECK(cotter_link_settings_default(&good, COTTER_LINK_HOST, 115200), COTTER_LINK_OK);
    HOLDS(good.suites == COTTER_LINK_SUITES_ALL && good.rekey_millis == 3600000 && good.allow_example_keys == 0);

#define CREATE(storage, size, settings, key, random, link) \
    cotter_link_create_psk(storage, size, settings, key, random, &host_count, link)
    CHECK(CREATE(NULL, size, &good, key, counting, &link), COTTER_LINK_NULL);
    HOLDS(link == NULL);
    CHECK(CREATE(host_storage.bytes, size, NULL, key, counting, &link), COTTER_LINK_NULL);
    CHECK(CREATE(host_storage.bytes, size, &good, NULL, counting, &link), COTTER_LINK_NULL);
    CHECK(CREATE(host_storage.bytes, size, &good, key, NULL, &link), COTTER_LINK_NULL);
    CHECK(CREATE(host_storage.bytes, size, &good, key, counting, NULL), COTTER_LINK_NULL);
    CHECK(CREATE(aligned + one, COTTER_LINK_SIZE_PSK, &good, key, counting, &link), COTTER_LINK_ALIGNMENT);
    CHECK(CREATE(host_storage.bytes, 0, &good, key, counting, &link), COTTER_LINK_SMALL);
    CHECK(CREATE(host_storage.bytes, 1024, &good, key, counting, &link), COTTER_LINK_SMALL);
    CHECK(CREATE(host_storage.bytes, size, &good, key, counting, (cotter_link **)(void *)host_storage.bytes),
          COTTER_LINK_OVERLAP);
    CHECK(CREATE(host_storage.bytes, size, &good, same, counting, &link), COTTER_LINK_EXAMPLE_KEY);
    HOLDS(link == NULL);
    good.allow_example_keys = 1;
    CHECK(CREATE(host_storage.bytes, size, &good, same, counting, &link), COTTER_LINK_OK);
    good.allow_example_keys = 0;
#define BAD(field, value) \
    bad = good; \
    bad.field = value; \
    CHECK(CREATE(host_storage.bytes, size, &bad, key, counting, &link), COTTER_LINK_ARGUMENT)
    BAD(side, 2);
    BAD(suites, 0);
    BAD(suites, 0x20);
    BAD(suites, 0xff);
    BAD(patience, 0);
    BAD(answer_millis, 0);
    BAD(answer_at_most_millis, good.answer_millis - 1);
    BAD(rekey_frames, 0);
    BAD(rekey_millis, 0);
    BAD(allow_example_keys, 2);
    CHECK(CREATE(aligned, COTTER_LINK_SIZE_PSK, &good, key, counting, &link), COTTER_LINK_OK);
    CHECK(cotter_link_wipe(link), COTTER_LINK_OK);
    free(raw);

    CHECK(cotter_link_create_noise_nn(host_storage.bytes, 1024, &good, key, counting, &host_count, &link), COTTER_LINK_SMALL);
    size = sizeof noise_storage.bytes;
    CHECK(cotter_link_create_noise_nn(noise_storage.bytes, size, &good, same, counting, &host_count, &link),
          COTTER_LINK_EXAMPLE_KEY);
#define CREATE_KK(own, peer) \
    cotter_link_create_noise_kk(noise_storage.bytes, size, &good, key, own, peer, counting, &host_count, &link)
    CHECK(CREATE_KK(NULL, other), COTTER_LINK_NULL);
    CHECK(CREATE_KK(key, NULL), COTTER_LINK_NULL);
    CHECK(CREATE_KK(key, low), COTTER_LINK_LOW_ORDER);
    CHECK(cotter_link_public_key(key, other), COTTER_LINK_OK);
    CHECK(CREATE_KK(key, other), COTTER_LINK_OWN_KEY);
    CHECK(cotter_link_public_key(NULL, other), COTTER_LINK_NULL);
    CHECK(cotter_link_public_key(key, NULL), COTTER_LINK_NULL);
}

static void no_link(void) {
    cotter_link_psk_storage empty;
    cotter_link *links[2];
    cotter_link_event event;
    cotter_link_status status;
    uint8_t out[COTTER_LINK_WIRE];
    size_t len;
    uint64_t at;
    int which;
    memset(&empty, 0, sizeof empty);
    links[0] = NULL;
    links[1] = (cotter_link *)(void *)&empty;
    for (which = 0; which < 2; which++) {
        cotter_link *link = links[which];
        int32_t expected = which == 0 ? COTTER_LINK_NULL : COTTER_LINK_NONE;
        CHECK(cotter_link_receive(link, out, 0, 0, &len, &event), expected);
        CHECK(cotter_link_transmit(link, 0, out, sizeof out, &len), expected);
        CHECK(cotter_link_send(link, out, 0, &len), expected);
        CHECK(cotter_link_escape(link), expected);
        CHECK(cotter_link_reconnect(link), expected);
        CHECK(cotter_link_wake_at(link, &at), expected);
        CHECK(cotter_link_status_of(link, &status), expected);
        CHECK(cotter_link_wipe(link), expected);
    }
    CHECK(cotter_link_escape((cotter_link *)(void *)(empty.bytes + 4)), COTTER_LINK_ALIGNMENT);
}

static void calls(void) {
    cotter_link *host = psk(&host_storage, COTTER_LINK_HOST, &host_count);
    cotter_link *module = psk(&module_storage, COTTER_LINK_MODULE, &module_count);
    uint8_t *inside = host_storage.bytes + 64;
    uint8_t out[COTTER_LINK_WIRE];
    cotter_link_event event;
    cotter_link_status status;
    size_t len = 9, used = 9, room;
    uint64_t at;
    uint64_t now = 1000;

    /* Before it is open. */
    CHECK(cotter_link_send(host, out, 0, &len), COTTER_LINK_NOT_OPEN);
    HOLDS(len == 0);
    CHECK(cotter_link_escape(host), COTTER_LINK_NOT_OPEN);
    /* Tiny buffers. */
    for (room = 0; room < COTTER_LINK_WIRE_LEAST; room++) {
        uint8_t *tiny = (uint8_t *)malloc(room == 0 ? 1 : room);
        len = 9;
        CHECK(cotter_link_transmit(host, now, tiny, room, &len), COTTER_LINK_NO_ROOM);
        HOLDS(len == 0);
        free(tiny);
    }
    /* NULLs. */
    CHECK(cotter_link_transmit(host, now, NULL, sizeof out, &len), COTTER_LINK_NULL);
    CHECK(cotter_link_transmit(host, now, NULL, 0, &len), COTTER_LINK_NO_ROOM);
    CHECK(cotter_link_transmit(host, now, out, sizeof out, NULL), COTTER_LINK_NULL);
    CHECK(cotter_link_receive(host, NULL, 1, now, &used, &event), COTTER_LINK_NULL);
    HOLDS(used == 0 && event.kind == COTTER_LINK_EVENT_NONE && event.data == NULL);
    CHECK(cotter_link_receive(host, NULL, 0, now, &used, &event), COTTER_LINK_OK);
    CHECK(cotter_link_receive(host, out, 1, now, NULL, &event), COTTER_LINK_NULL);
    CHECK(cotter_link_receive(host, out, 1, now, &used, NULL), COTTER_LINK_NULL);
    CHECK(cotter_link_send(host, NULL, 1, &len), COTTER_LINK_NULL);
    CHECK(cotter_link_send(host, out, 1, NULL), COTTER_LINK_NULL);
    CHECK(cotter_link_wake_at(host, NULL), COTTER_LINK_NULL);
    CHECK(cotter_link_status_of(host, NULL), COTTER_LINK_NULL);
    /* Lengths that no memory has. */
    CHECK(cotter_link_receive(host, out, SIZE_MAX, now, &used, &event), COTTER_LINK_LENGTH);
    CHECK(cotter_link_transmit(host, now, out, SIZE_MAX, &len), COTTER_LINK_LENGTH);
    CHECK(cotter_link_send(host, out, SIZE_MAX / 2 + 1, &len), COTTER_LINK_LENGTH);
    /* Into the storage. */
    CHECK(cotter_link_receive(host, inside, 1, now, &used, &event), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_receive(host, out, 1, now, (size_t *)(void *)inside, &event), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_receive(host, out, 1, now, &used, (cotter_link_event *)(void *)inside), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_transmit(host, now, inside, COTTER_LINK_WIRE, &len), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_transmit(host, now, out, sizeof out, (size_t *)(void *)inside), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_send(host, inside, 1, &len), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_wake_at(host, (uint64_t *)(void *)inside), COTTER_LINK_OVERLAP);
    CHECK(cotter_link_status_of(host, (cotter_link_status *)(void *)inside), COTTER_LINK_OVERLAP);

    /* None of that did any harm. */
    for (room = 0; room < 4; room++) {
        (void)carry(host, module, now);
        (void)carry(module, host, now);
    }
    CHECK(cotter_link_status_of(host, &status), COTTER_LINK_OK);
    HOLDS(status.is_open == 1 && status.sessions == 1 && status.mode == COTTER_LINK_PSK);
    HOLDS(status.suite == COTTER_LINK_CHACHA20_POLY1305 && status.room == COTTER_LINK_WINDOW);
    CHECK(cotter_link_send(host, (const uint8_t *)"AT\r\n", 4, &len), COTTER_LINK_OK);
    HOLDS(len == 4 && carry(host, module, now) == 1 && carry(module, host, now) == 0);
    /* As much as there is room for, and no second escape. */
    {
        static uint8_t much[2 * COTTER_LINK_WINDOW];
        CHECK(cotter_link_escape(host), COTTER_LINK_OK);
        CHECK(cotter_link_escape(host), COTTER_LINK_FULL);
        CHECK(cotter_link_send(host, much, sizeof much, &len), COTTER_LINK_OK);
        HOLDS(len > 0 && len <= COTTER_LINK_WINDOW);
    }
    CHECK(cotter_link_wake_at(host, &at), COTTER_LINK_OK);
    HOLDS(at > now);

    /* A wiped link is gone, and nothing of it is left. */
    CHECK(cotter_link_wipe(host), COTTER_LINK_OK);
    CHECK(cotter_link_wipe(host), COTTER_LINK_NONE);
    CHECK(cotter_link_send(host, out, 0, &len), COTTER_LINK_NONE);
    for (room = 0; room < sizeof host_storage.bytes && host_storage.bytes[room] == 0; room++) {
    }
    HOLDS(room == sizeof host_storage.bytes);
    CHECK(cotter_link_wipe(module), COTTER_LINK_OK);
}

static void callbacks(void) {
    cotter_link_settings settings;
    cotter_link *link;
    uint8_t out[COTTER_LINK_WIRE], wire[COTTER_LINK_WIRE];
    cotter_link_event event;
    size_t len, used, at;
    CHECK(cotter_link_settings_default(&settings, COTTER_LINK_HOST, 115200), COTTER_LINK_OK);
    /* Without random bytes a hello does not leave, and the link is gone. */
    CHECK(cotter_link_create_psk(host_storage.bytes, sizeof host_storage.bytes, &settings, key, failing, NULL, &link),
          COTTER_LINK_OK);
    memset(out, 0x55, sizeof out);
    CHECK(cotter_link_transmit(link, 0, out, sizeof out, &len), COTTER_LINK_RANDOM);
    for (at = 0; at < sizeof out && out[at] == 0; at++) {
    }
    HOLDS(len == 0 && at == sizeof out);
    CHECK(cotter_link_transmit(link, 0, out, sizeof out, &len), COTTER_LINK_NONE);
    /* The same of a module's reply. */
    link = psk(&host_storage, COTTER_LINK_HOST, &host_count);
    CHECK(cotter_link_transmit(link, 0, wire, sizeof wire, &len), COTTER_LINK_OK);
    settings.side = COTTER_LINK_MODULE;
    CHECK(cotter_link_create_psk(module_storage.bytes, sizeof module_storage.bytes, &settings, key, failing, NULL, &link),
          COTTER_LINK_OK);
    CHECK(cotter_link_receive(link, wire, len, 0, &used, &event), COTTER_LINK_RANDOM);
    HOLDS(used == 0 && event.kind == COTTER_LINK_EVENT_NONE);
    CHECK(cotter_link_transmit(link, 0, out, sizeof out, &len), COTTER_LINK_NONE);
    /* A callback that calls its own link is told, and the link goes on. */
    settings.side = COTTER_LINK_HOST;
    CHECK(cotter_link_create_psk(host_storage.bytes, sizeof host_storage.bytes, &settings, key, reentering, &host_count, &inner),
          COTTER_LINK_OK);
    CHECK(cotter_link_transmit(inner, 0, out, sizeof out, &len), COTTER_LINK_OK);
    HOLDS(len > 0);
    for (at = 0; at < sizeof inner_results / sizeof *inner_results; at++) {
        CHECK(inner_results[at], COTTER_LINK_BUSY);
    }
    CHECK(cotter_link_wipe(inner), COTTER_LINK_OK);
}

static void derivation(void) {
    cotter_link_ingredients given;
    uint8_t bytes[300] = {0}, out[COTTER_LINK_KEY];
    memset(&given, 0, sizeof given);
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_OK);
    CHECK(cotter_link_derive_psk(NULL, &given, out), COTTER_LINK_NULL);
    CHECK(cotter_link_derive_psk(key, NULL, out), COTTER_LINK_NULL);
    CHECK(cotter_link_derive_psk(key, &given, NULL), COTTER_LINK_NULL);
    given.mac_len = 6;
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_NULL);
    given.mac = bytes;
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_OK);
    given.mac_len = 7;
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_MAC_LENGTH);
    given.mac_len = 8;
    given.unique_id = bytes;
    given.unique_id_len = 15;
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_UNIQUE_ID_LENGTH);
    given.unique_id_len = 16;
    given.own = bytes;
    given.own_len = 256;
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_OWN_LENGTH);
    given.own_len = 255;
    CHECK(cotter_link_derive_psk(key, &given, out), COTTER_LINK_OK);
    HOLDS(sizeof COTTER_LINK_HMAC_MESSAGE - 1 == 25);
}

static void compat(void) {
    uint8_t k[32], iv[16];
    static uint8_t data[COTTER_COMPAT_MOST_RECEIVED + 1];
    cotter_compat_key good, bad;
    cotter_compat *compat;
    cotter_link_ingredients given;
    size_t size = sizeof compat_storage.bytes;
    memset(k, 'A', sizeof k);
    memset(iv, 'T', sizeof iv);
    good.key = k;
    good.key_len = 16;
    good.iv = iv;
    good.iv_len = 16;
#define COMPAT(storage, size, cipher, sending, receiving, allow, out) \
    cotter_compat_create(storage, size, cipher, sending, receiving, allow, out)
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, &good, 0, &compat), COTTER_LINK_EXAMPLE_KEY);
    HOLDS(compat == NULL);
    k[0] = 'B';
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, &good, 0, &compat), COTTER_LINK_EXAMPLE_IV);
    iv[0] = 'U';
    CHECK(COMPAT(NULL, size, 1, &good, &good, 0, &compat), COTTER_LINK_NULL);
    CHECK(COMPAT(compat_storage.bytes, size, 1, NULL, &good, 0, &compat), COTTER_LINK_NULL);
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, NULL, 0, &compat), COTTER_LINK_NULL);
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, &good, 0, NULL), COTTER_LINK_NULL);
    CHECK(COMPAT(compat_storage.bytes, size, 0, &good, &good, 0, &compat), COTTER_LINK_ARGUMENT);
    CHECK(COMPAT(compat_storage.bytes, size, 6, &good, &good, 0, &compat), COTTER_LINK_ARGUMENT);
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, &good, 2, &compat), COTTER_LINK_ARGUMENT);
    CHECK(COMPAT(compat_storage.bytes, 100, 1, &good, &good, 0, &compat), COTTER_LINK_SMALL);
    CHECK(COMPAT(compat_storage.bytes, size, 2, &good, &good, 0, &compat), COTTER_LINK_KEY_LENGTH);
    bad = good;
    bad.iv_len = 8;
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, &bad, 0, &compat), COTTER_LINK_IV_LENGTH);
    bad = good;
    bad.key = NULL;
    CHECK(COMPAT(compat_storage.bytes, size, 1, &bad, &good, 0, &compat), COTTER_LINK_NULL);
    memset(&compat_storage, 0, sizeof compat_storage);
    CHECK(cotter_compat_send((cotter_compat *)(void *)&compat_storage, data, 1), COTTER_LINK_NONE);
    CHECK(cotter_compat_send(NULL, data, 1), COTTER_LINK_NULL);
    CHECK(COMPAT(compat_storage.bytes, size, 1, &good, &good, 0, &compat), COTTER_LINK_OK);
    CHECK(cotter_compat_send(compat, NULL, 1), COTTER_LINK_NULL);
    CHECK(cotter_compat_send(compat, NULL, 0), COTTER_LINK_OK);
    CHECK(cotter_compat_send(compat, data, COTTER_COMPAT_MOST_SENT + 1), COTTER_LINK_LENGTH);
    CHECK(cotter_compat_receive(compat, data, COTTER_COMPAT_MOST_RECEIVED + 1), COTTER_LINK_LENGTH);
    CHECK(cotter_compat_send(compat, data, SIZE_MAX), COTTER_LINK_LENGTH);
    CHECK(cotter_compat_send(compat, compat_storage.bytes + 16, 1), COTTER_LINK_OVERLAP);
    CHECK(cotter_compat_send(compat, data, COTTER_COMPAT_MOST_SENT), COTTER_LINK_OK);
    CHECK(cotter_compat_receive(compat, data, COTTER_COMPAT_MOST_RECEIVED), COTTER_LINK_OK);
    CHECK(cotter_compat_wipe(compat), COTTER_LINK_OK);
    CHECK(cotter_compat_wipe(compat), COTTER_LINK_NONE);
    memset(&given, 0, sizeof given);
    CHECK(cotter_compat_create_derived(compat_storage.bytes, size, 1, 0, 0, NULL, &given, &compat), COTTER_LINK_NULL);
    CHECK(cotter_compat_create_derived(compat_storage.bytes, size, 1, 0, 2, key, &given, &compat), COTTER_LINK_ARGUMENT);
    CHECK(cotter_compat_create_derived(compat_storage.bytes, size, 1, 2, 0, key, &given, &compat), COTTER_LINK_ARGUMENT);
    CHECK(cotter_compat_create_derived(compat_storage.bytes, size, 1, 0, 0, key, &given, &compat), COTTER_LINK_OK);
    CHECK(cotter_compat_wipe(compat), COTTER_LINK_OK);
}

int main(void) {
    int32_t code;
    uint8_t at;
    for (at = 0; at < COTTER_LINK_KEY; at++) {
        key[at] = at;
        other[at] = (uint8_t)(3 * at + 1);
        same[at] = 'A';
    }
    for (code = -40; code <= 40; code++) {
        int known = code >= COTTER_LINK_OWN_LENGTH && code <= COTTER_LINK_REFUSED_UNEXPECTED_FINISH;
        HOLDS((strcmp(cotter_link_text(code), "no such code") != 0) == known);
    }
    settings_and_creation();
    no_link();
    calls();
    callbacks();
    derivation();
    compat();
    printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
