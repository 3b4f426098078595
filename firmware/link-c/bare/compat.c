/* Two ends as Espressif's example has them on one bare machine, CIPHER given by the compiler's command line. */
#include "board.h"
#include "cotter_link.h"

static cotter_compat_storage host_storage, module_storage;
static cotter_compat *host, *module;
static uint8_t key[32], data[1024];

typedef struct work {
    cotter_compat *compat;
    size_t len;
    uint32_t instructions;
} work;

/* How much storage a create is content with. */
static size_t offered = sizeof host_storage.bytes;

static int32_t created(cotter_compat_storage *storage, cotter_compat **compat) {
    static const uint8_t lengths[5][2] = {{16, 16}, {24, 16}, {32, 16}, {32, 12}, {32, 8}};
    cotter_compat_key given;
    given.key = key;
    given.key_len = lengths[CIPHER - 1][0];
    given.iv = key;
    given.iv_len = lengths[CIPHER - 1][1];
    return cotter_compat_create(storage->bytes, offered, CIPHER, &given, &given, 0, compat);
}

static void creating(void *unused) {
    (void)unused;
    REQUIRE(created(&host_storage, &host) == COTTER_LINK_OK);
    REQUIRE(created(&module_storage, &module) == COTTER_LINK_OK);
}

static void sending(void *context) {
    work *it = (work *)context;
    uint32_t before = instructions();
    REQUIRE(cotter_compat_send(it->compat, data, it->len) == COTTER_LINK_OK);
    it->instructions = instructions() - before;
}

static void receiving(void *context) {
    work *it = (work *)context;
    uint32_t before = instructions();
    REQUIRE(cotter_compat_receive(it->compat, data, it->len) == COTTER_LINK_OK);
    it->instructions = instructions() - before;
}

int main(void) {
    static const char *names[3][3] = {
        {"wire_16", "seal_16", "open_16"}, {"wire_64", "seal_64", "open_64"}, {"wire_1024", "seal_1024", "open_1024"}};
    static const uint16_t lengths[3] = {16, 64, 1024};
    uint32_t stack, deepest = 0;
    size_t at, which, changed;
    for (at = 0; at < sizeof key; at++) {
        key[at] = (uint8_t)(at * 7 + 1);
    }
    report("stack_create", stack_used_by(creating, 0));
    for (which = 0; which < 3; which++) {
        work there = {host, lengths[which], 0}, here = {module, lengths[which], 0};
        for (at = 0; at < sizeof data; at++) {
            data[at] = (uint8_t)at;
        }
        stack = stack_used_by(sending, &there);
        deepest = stack > deepest ? stack : deepest;
        for (at = 0, changed = 0; at < lengths[which]; at++) {
            changed += data[at] != (uint8_t)at;
        }
        REQUIRE(changed > lengths[which] / 2u);
        stack = stack_used_by(receiving, &here);
        deepest = stack > deepest ? stack : deepest;
        for (at = 0; at < sizeof data; at++) {
            REQUIRE(data[at] == (uint8_t)at);
        }
        report(names[which][0], lengths[which]);
        report(names[which][1], there.instructions);
        report(names[which][2], here.instructions);
    }
    report("stack_calls", deepest);
    while (created(&host_storage, &host) == COTTER_LINK_OK) {
        offered--;
    }
    REQUIRE(created(&host_storage, &host) == COTTER_LINK_SMALL);
    report("ram", (uint32_t)offered + 1);
    power_off(0);
}
