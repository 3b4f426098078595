/* Two ends on one bare machine, MODE and SUITE given by the compiler's command line: what they say to each other is
 * checked, and what it costs is reported. */
#include "board.h"
#include "cotter_link.h"

static cotter_link_noise_storage host_storage, module_storage;
static cotter_link *host, *module;
static cotter_link_settings settings;
static uint8_t key[COTTER_LINK_KEY], host_key[COTTER_LINK_KEY], module_key[COTTER_LINK_KEY];
static uint8_t plain[1024], arrived[1024];
static uint32_t seed = 1;
static uint64_t now = 1000;

static int32_t random_bytes(void *context, uint8_t *out, size_t len) {
    (void)context;
    for (; len > 0; len--) {
        seed = seed * 1664525u + 1013904223u;
        *out++ = (uint8_t)(seed >> 24);
    }
    return 0;
}

/* What one end did: instructions of all its calls, and what it wrote. */
typedef struct spent {
    uint32_t instructions;
    uint32_t frames;
    uint32_t wire;
    uint32_t deepest;
} spent;

/* One call of a link, so that it can be counted and its stack seen. */
typedef struct call {
    cotter_link *link;
    uint8_t *bytes;
    size_t len, used;
    cotter_link_event event;
    uint32_t instructions;
    int32_t code;
} call;

static void transmitting(void *context) {
    call *it = (call *)context;
    uint32_t before = instructions();
    it->code = cotter_link_transmit(it->link, now, it->bytes, COTTER_LINK_WIRE, &it->len);
    it->instructions = instructions() - before;
}

static void receiving(void *context) {
    call *it = (call *)context;
    uint32_t before = instructions();
    it->code = cotter_link_receive(it->link, it->bytes, it->len, now, &it->used, &it->event);
    it->instructions = instructions() - before;
}

static void sending(void *context) {
    call *it = (call *)context;
    uint32_t before = instructions();
    it->code = cotter_link_send(it->link, it->bytes, it->len, &it->used);
    it->instructions = instructions() - before;
}

static void counted(void (*work)(void *), call *it, spent *spent) {
    uint32_t depth = stack_used_by(work, it);
    REQUIRE(it->code == COTTER_LINK_OK);
    spent->instructions += it->instructions;
    if (depth > spent->deepest) {
        spent->deepest = depth;
    }
}

static int opened;
static size_t got, escapes;

/* One frame or message from one end to the other; false if there was none. */
static int carried(cotter_link *from, cotter_link *to, spent *writer, spent *reader) {
    uint8_t wire[COTTER_LINK_WIRE];
    call written = {from, wire, 0, 0, {0, 0, 0, 0, 0, 0}, 0, 0}, read = {to, wire, 0, 0, {0, 0, 0, 0, 0, 0}, 0, 0};
    size_t at;
    counted(transmitting, &written, writer);
    if (written.len == 0) {
        return 0;
    }
    writer->frames++;
    writer->wire += (uint32_t)written.len;
    read.len = written.len;
    do {
        counted(receiving, &read, reader);
        read.bytes += read.used;
        read.len -= read.used;
        opened += read.event.kind == COTTER_LINK_EVENT_OPENED;
        escapes += read.event.kind == COTTER_LINK_EVENT_ESCAPE;
        REQUIRE(read.event.kind != COTTER_LINK_EVENT_REFUSED);
        for (at = 0; at < read.event.len; at++) {
            REQUIRE(got < sizeof arrived);
            arrived[got++] = read.event.data[at];
        }
    } while (read.len > 0 || read.event.kind != COTTER_LINK_EVENT_NONE);
    return 1;
}

/* How much storage a create is content with. */
static size_t offered = MODE == 2 ? COTTER_LINK_SIZE_PSK : COTTER_LINK_SIZE_NOISE;

static int32_t created(uint8_t side) {
    int32_t code = cotter_link_settings_default(&settings, side, 115200);
    void *storage = side == COTTER_LINK_HOST ? host_storage.bytes : module_storage.bytes;
    cotter_link **link = side == COTTER_LINK_HOST ? &host : &module;
    REQUIRE(code == COTTER_LINK_OK);
    settings.suites = (uint8_t)(1 << (SUITE - 1));
#if MODE == 2
    return cotter_link_create_psk(storage, offered, &settings, key, random_bytes, 0, link);
#elif MODE == 3
    return cotter_link_create_noise_nn(storage, offered, &settings, key, random_bytes, 0, link);
#else
    {
        const uint8_t *own = side == COTTER_LINK_HOST ? host_key : module_key;
        uint8_t peer[COTTER_LINK_KEY];
        REQUIRE(cotter_link_public_key(side == COTTER_LINK_HOST ? module_key : host_key, peer) == COTTER_LINK_OK);
        return cotter_link_create_noise_kk(storage, offered, &settings, key, own, peer, random_bytes, 0, link);
    }
#endif
}

static void creating(void *side) {
    REQUIRE(created(*(uint8_t *)side) == COTTER_LINK_OK);
}

/* A command of `len` bytes from the host, each frame acknowledged. */
static void command(uint16_t len, const char *names[6]) {
    spent seal = {0, 0, 0, 0}, open = {0, 0, 0, 0}, acknowledge = {0, 0, 0, 0}, acknowledged = {0, 0, 0, 0};
    call sent = {host, plain, len, 0, {0, 0, 0, 0, 0, 0}, 0, 0};
    size_t at;
    now += 5;
    got = 0;
    counted(sending, &sent, &seal);
    REQUIRE(sent.used == len);
    while (got < len) {
        REQUIRE(carried(host, module, &seal, &open));
        REQUIRE(carried(module, host, &acknowledge, &acknowledged));
    }
    for (at = 0; at < len; at++) {
        REQUIRE(arrived[at] == plain[at]);
    }
    report(names[0], seal.frames);
    report(names[1], seal.wire);
    report(names[2], acknowledge.wire);
    report(names[3], seal.instructions);
    report(names[4], open.instructions);
    report(names[5], acknowledge.instructions + acknowledged.instructions);
}

int main(void) {
    static const char *names[3][6] = {
        {"frames_16", "wire_16", "acknowledgement_16", "seal_16", "open_16", "acknowledge_16"},
        {"frames_64", "wire_64", "acknowledgement_64", "seal_64", "open_64", "acknowledge_64"},
        {"frames_1024", "wire_1024", "acknowledgement_1024", "seal_1024", "open_1024", "acknowledge_1024"},
    };
    spent host_spent = {0, 0, 0, 0}, module_spent = {0, 0, 0, 0}, later = {0, 0, 0, 0};
    uint8_t side = COTTER_LINK_MODULE;
    uint32_t stack, before;
    cotter_link_status status;
    size_t at;
    int moved;
    (void)random_bytes(0, key, sizeof key);
    (void)random_bytes(0, host_key, sizeof host_key);
    (void)random_bytes(0, module_key, sizeof module_key);
    (void)random_bytes(0, plain, sizeof plain);

    stack = stack_used_by(creating, &side);
    side = COTTER_LINK_HOST;
    REQUIRE(created(side) == COTTER_LINK_OK);
    /* 1. A handshake that the host begins: hello, reply, finish, acknowledgement; twice, so that the second is without
     * the module's knock. */
    do {
        moved = carried(host, module, &later, &later);
        moved += carried(module, host, &later, &later);
    } while (moved > 0);
    REQUIRE(opened == 2);
    now += 10000;
    before = seed;
    REQUIRE(cotter_link_reconnect(host) == COTTER_LINK_OK);
    do {
        moved = carried(host, module, &host_spent, &module_spent);
        moved += carried(module, host, &module_spent, &host_spent);
    } while (moved > 0);
    REQUIRE(opened == 4 && seed != before);
    report("handshake_wire", host_spent.wire + module_spent.wire);
    report("handshake_host", host_spent.instructions);
    report("handshake_module", module_spent.instructions);

    /* 2. Commands. */
    command(16, names[0]);
    command(64, names[1]);
    command(1024, names[2]);

    /* 3. An escape, and what both ends say of themselves. */
    now += 5;
    REQUIRE(cotter_link_escape(module) == COTTER_LINK_OK);
    REQUIRE(carried(module, host, &later, &later) && escapes == 1);
    REQUIRE(carried(host, module, &later, &later));
    REQUIRE(cotter_link_status_of(module, &status) == COTTER_LINK_OK);
    REQUIRE(status.is_open && status.suite == SUITE && status.sessions == 2 && status.is_all_acknowledged);
    REQUIRE(status.refused == 0);

    /* 4. A changed bit is refused, and wiping leaves nothing. */
    {
        uint8_t wire[COTTER_LINK_WIRE];
        cotter_link_event event;
        size_t len, used;
        REQUIRE(cotter_link_send(host, plain, 20, &len) == COTTER_LINK_OK);
        REQUIRE(cotter_link_transmit(host, now, wire, sizeof wire, &len) == COTTER_LINK_OK && len > 20);
        wire[len - 3] = (uint8_t)(wire[len - 3] == 1 ? 2 : 1);
        REQUIRE(cotter_link_receive(module, wire, len, now, &used, &event) == COTTER_LINK_OK);
        REQUIRE(event.kind == COTTER_LINK_EVENT_REFUSED);
        REQUIRE(cotter_link_wipe(host) == COTTER_LINK_OK);
        REQUIRE(cotter_link_wipe(host) == COTTER_LINK_NONE);
        for (at = 0; at < sizeof host_storage.bytes; at++) {
            REQUIRE(host_storage.bytes[at] == 0);
        }
    }
    report("stack_create", stack);
    stack = host_spent.deepest > module_spent.deepest ? host_spent.deepest : module_spent.deepest;
    stack = stack > later.deepest ? stack : later.deepest;
    report("stack_calls", stack);
    while (created(COTTER_LINK_HOST) == COTTER_LINK_OK) {
        offered--;
    }
    REQUIRE(created(COTTER_LINK_HOST) == COTTER_LINK_SMALL);
    report("ram", (uint32_t)offered + 1);
    power_off(0);
}
