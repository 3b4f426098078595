/* As little of a program as one mode needs, or with MODE 0 none: the difference is what the mode takes in flash. */
#include "board.h"
#include "cotter_link.h"

extern uint8_t flash_bytes[];

#if MODE != 0
static volatile uint32_t received;

static int32_t random_bytes(void *context, uint8_t *out, size_t len) {
    (void)context;
    for (; len > 0; len--) {
        *out++ = (uint8_t)received;
    }
    return 0;
}
#endif

#if MODE == 1
static cotter_compat_storage storage;

static void use(void) {
    uint8_t key[16] = {(uint8_t)received}, data[64];
    cotter_compat_key given = {key, sizeof key, key, sizeof key};
    cotter_compat *compat;
    (void)random_bytes;
    (void)cotter_compat_create(storage.bytes, sizeof storage.bytes, COTTER_COMPAT_AES_128_CTR, &given, &given, 0, &compat);
    (void)cotter_compat_send(compat, data, received);
    (void)cotter_compat_receive(compat, data, received);
}
#elif MODE != 0
static cotter_link_noise_storage storage;

static void use(void) {
    uint8_t key[COTTER_LINK_KEY] = {(uint8_t)received}, wire[COTTER_LINK_WIRE];
    cotter_link_settings settings;
    cotter_link_event event;
    cotter_link *link;
    size_t len;
    uint64_t at;
    (void)cotter_link_settings_default(&settings, COTTER_LINK_HOST, 115200);
#if MODE == 2
    (void)cotter_link_create_psk(storage.bytes, sizeof storage.bytes, &settings, key, random_bytes, 0, &link);
#elif MODE == 3
    (void)cotter_link_create_noise_nn(storage.bytes, sizeof storage.bytes, &settings, key, random_bytes, 0, &link);
#else
    (void)cotter_link_create_noise_kk(storage.bytes, sizeof storage.bytes, &settings, key, key, key, random_bytes, 0, &link);
#endif
    while (cotter_link_wake_at(link, &at) == COTTER_LINK_OK) {
        (void)cotter_link_receive(link, wire, received, at, &len, &event);
        (void)cotter_link_send(link, wire, received, &len);
        (void)cotter_link_transmit(link, at, wire, sizeof wire, &len);
    }
}
#endif

int main(void) {
    report("flash", (uint32_t)(uintptr_t)flash_bytes);
#if MODE != 0
    if (received != 0) {
        use();
    }
#endif
    power_off(0);
}
