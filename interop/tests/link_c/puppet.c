/* A C program that has one link, and does with it what its standard input says: all time and all bytes come from there, so
 * that a test is the same each time. Numbers are little-endian. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cotter_link.h"

static cotter_link_noise_storage storage;
static cotter_compat_storage compat_storage;
static cotter_link *the_link;
static cotter_compat *the_compat;
static uint64_t seed;

static int32_t random_bytes(void *context, uint8_t *out, size_t len) {
    uint64_t *state = (uint64_t *)context;
    size_t at;
    for (at = 0; at < len; at++) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        out[at] = (uint8_t)(*state >> 32);
    }
    return 0;
}

static void take(uint8_t *into, size_t len) {
    if (fread(into, 1, len, stdin) != len) {
        exit(3);
    }
}

static uint64_t number(size_t bytes) {
    uint8_t raw[8] = {0};
    uint64_t value = 0;
    size_t at;
    take(raw, bytes);
    for (at = bytes; at > 0; at--) {
        value = value << 8 | raw[at - 1];
    }
    return value;
}

static void tell(uint64_t value, size_t bytes) {
    size_t at;
    for (at = 0; at < bytes; at++) {
        putchar((int)(value >> (8 * at) & 0xff));
    }
}

static void result(int32_t code) {
    tell((uint64_t)(uint32_t)code, 4);
}

static void create(void) {
    uint8_t keys[3][COTTER_LINK_KEY];
    cotter_link_settings settings;
    uint8_t mode = (uint8_t)number(1);
    int32_t code = cotter_link_settings_default(&settings, (uint8_t)number(1), 115200);
    settings.suites = (uint8_t)number(1);
    settings.rekey_frames = number(8);
    take(keys[0], sizeof keys);
    seed = number(8) | 1;
    the_link = NULL;
    if (code == COTTER_LINK_OK && mode == COTTER_LINK_PSK) {
        /* In as little as the header says that it needs. */
        code = cotter_link_create_psk(storage.bytes, COTTER_LINK_SIZE_PSK, &settings, keys[0], random_bytes, &seed, &the_link);
    } else if (code == COTTER_LINK_OK && mode == COTTER_LINK_NOISE_NN) {
        code = cotter_link_create_noise_nn(storage.bytes, sizeof storage.bytes, &settings, keys[0], random_bytes, &seed,
                                           &the_link);
    } else if (code == COTTER_LINK_OK) {
        code = cotter_link_create_noise_kk(storage.bytes, sizeof storage.bytes, &settings, keys[0], keys[1], keys[2],
                                           random_bytes, &seed, &the_link);
    }
    result(code);
}

static void receive(void) {
    uint64_t now = number(8);
    size_t len = (size_t)number(2), at = 0, used;
    /* Of exactly this length, so that a sanitizer sees what goes beyond. */
    uint8_t *wire = (uint8_t *)malloc(len == 0 ? 1 : len);
    cotter_link_event event;
    take(wire, len);
    do {
        int32_t code = cotter_link_receive(the_link, wire + at, len - at, now, &used, &event);
        if (code != COTTER_LINK_OK) {
            break;
        }
        at += used;
        if (event.kind != COTTER_LINK_EVENT_NONE) {
            tell(event.kind, 1);
            tell(event.suite, 1);
            tell(event.continued, 1);
            result(event.reason);
            tell(event.len, 2);
            fwrite(event.data == NULL ? (const uint8_t *)"" : event.data, 1, event.len, stdout);
        }
    } while (at < len || event.kind != COTTER_LINK_EVENT_NONE);
    tell(COTTER_LINK_EVENT_NONE, 1);
    free(wire);
}

static void transmit(void) {
    uint64_t now = number(8);
    size_t room = (size_t)number(2), len;
    uint8_t *out = (uint8_t *)malloc(room == 0 ? 1 : room);
    int32_t code = COTTER_LINK_OK;
    for (;;) {
        code = cotter_link_transmit(the_link, now, out, room, &len);
        if (code != COTTER_LINK_OK || len == 0) {
            break;
        }
        tell(len, 2);
        fwrite(out, 1, len, stdout);
    }
    tell(0, 2);
    result(code);
    free(out);
}

static void send_plain(void) {
    size_t len = (size_t)number(2), taken;
    uint8_t *plain = (uint8_t *)malloc(len == 0 ? 1 : len);
    take(plain, len);
    result(cotter_link_send(the_link, plain, len, &taken));
    tell(taken, 2);
    free(plain);
}

static void status(void) {
    cotter_link_status is;
    result(cotter_link_status_of(the_link, &is));
    tell(is.sent, 8);
    tell(is.sent_again, 8);
    tell(is.received, 8);
    tell(is.refused, 8);
    tell(is.sessions, 8);
    tell(is.room, 8);
    tell(is.mode, 1);
    tell(is.suite, 1);
    tell(is.is_open, 1);
    tell(is.is_all_acknowledged, 1);
}

static void wake(void) {
    uint64_t at;
    result(cotter_link_wake_at(the_link, &at));
    tell(at, 8);
}

static void wipe(void) {
    size_t at;
    unsigned left = 0;
    result(cotter_link_wipe(the_link));
    for (at = 0; at < sizeof storage.bytes; at++) {
        left += storage.bytes[at] != 0;
    }
    tell(left, 2);
}

static void ingredients_of(cotter_link_ingredients *given, uint8_t secret[COTTER_LINK_KEY], uint8_t bytes[3][256]) {
    size_t lengths[3];
    int at;
    take(secret, COTTER_LINK_KEY);
    for (at = 0; at < 3; at++) {
        lengths[at] = (size_t)number(2);
        take(bytes[at], lengths[at]);
    }
    given->mac = bytes[0];
    given->mac_len = lengths[0];
    given->unique_id = bytes[1];
    given->unique_id_len = lengths[1];
    given->own = bytes[2];
    given->own_len = lengths[2];
}

static void derive(void) {
    uint8_t secret[COTTER_LINK_KEY], bytes[3][256], psk[COTTER_LINK_KEY] = {0};
    cotter_link_ingredients given;
    ingredients_of(&given, secret, bytes);
    result(cotter_link_derive_psk(secret, &given, psk));
    fwrite(psk, 1, sizeof psk, stdout);
}

static void compat(void) {
    uint8_t cipher = (uint8_t)number(1), allow = (uint8_t)number(1), raw[4][256];
    size_t lengths[4];
    cotter_compat_key sending, receiving;
    int at;
    for (at = 0; at < 4; at++) {
        lengths[at] = (size_t)number(1);
        take(raw[at], lengths[at]);
    }
    sending.key = raw[0];
    sending.key_len = lengths[0];
    sending.iv = raw[1];
    sending.iv_len = lengths[1];
    receiving.key = raw[2];
    receiving.key_len = lengths[2];
    receiving.iv = raw[3];
    receiving.iv_len = lengths[3];
    result(cotter_compat_create(compat_storage.bytes, sizeof compat_storage.bytes, cipher, &sending, &receiving, allow,
                                &the_compat));
}

static void compat_derived(void) {
    uint8_t cipher = (uint8_t)number(1), side = (uint8_t)number(1), both = (uint8_t)number(1);
    uint8_t secret[COTTER_LINK_KEY], bytes[3][256];
    cotter_link_ingredients given;
    ingredients_of(&given, secret, bytes);
    result(cotter_compat_create_derived(compat_storage.bytes, sizeof compat_storage.bytes, cipher, side, both, secret, &given,
                                        &the_compat));
}

static void keystream(int sending) {
    size_t len = (size_t)number(2);
    uint8_t *data = (uint8_t *)malloc(len == 0 ? 1 : len);
    take(data, len);
    result(sending ? cotter_compat_send(the_compat, data, len) : cotter_compat_receive(the_compat, data, len));
    fwrite(data, 1, len, stdout);
    free(data);
}

static void public_key(void) {
    uint8_t private_key[COTTER_LINK_KEY], out[COTTER_LINK_KEY] = {0};
    take(private_key, sizeof private_key);
    result(cotter_link_public_key(private_key, out));
    fwrite(out, 1, sizeof out, stdout);
}

int main(void) {
    for (;;) {
        switch (getchar()) {
        case 'C': create(); break;
        case 'R': receive(); break;
        case 'T': transmit(); break;
        case 'S': send_plain(); break;
        case 'E': result(cotter_link_escape(the_link)); break;
        case 'N': result(cotter_link_reconnect(the_link)); break;
        case 'P': status(); break;
        case 'W': wake(); break;
        case 'X': wipe(); break;
        case 'D': derive(); break;
        case 'U': public_key(); break;
        case 'K': compat(); break;
        case 'L': compat_derived(); break;
        case 'k': keystream(1); break;
        case 'r': keystream(0); break;
        case EOF: return 0;
        default: return 2;
        }
        fflush(stdout);
    }
}
