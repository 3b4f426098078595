/* See board.h. Source: QEMU 7.2, hw/riscv/virt.c (addresses of UART0 and of the test device). */
#include "board.h"

#include <stddef.h>

#define UART0 ((volatile uint8_t *)0x10000000)
#define TEST_DEVICE ((volatile uint32_t *)0x100000)
#define PAINT 0xc077e125u
/* The frames of the painting itself lie just below its caller. */
#define MARGIN 128u

extern uint8_t stack_bottom[];

static void print(const char *text) {
    for (; *text != 0; text++) {
        *UART0 = (uint8_t)*text;
    }
}

void report(const char *name, uint32_t value) {
    char digits[11];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    print(name);
    print("=");
    print(digits + at);
    print("\n");
}

uint32_t instructions(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count) : : "memory");
    return count;
}

uint32_t __attribute__((noinline)) stack_used_by(void (*work)(void *), void *context) {
    uint32_t here, *at, *top;
    __asm__ volatile("mv %0, sp" : "=r"(here));
    top = (uint32_t *)(here - MARGIN);
    for (at = (uint32_t *)stack_bottom; at < top; at++) {
        *(volatile uint32_t *)at = PAINT;
    }
    work(context);
    for (at = (uint32_t *)stack_bottom; at < top && *(volatile uint32_t *)at == PAINT; at++) {
    }
    REQUIRE(at != (uint32_t *)stack_bottom);
    return here - (uint32_t)at;
}

void power_off(uint16_t code) {
    for (;;) {
        *TEST_DEVICE = code == 0 ? 0x5555u : (uint32_t)code << 16 | 0x3333u;
    }
}

void require_line(int truth, int line) {
    if (!truth) {
        report("failed_in_line", (uint32_t)line);
        power_off(1);
    }
}

/* The library's own would trap into nothing here. */
void cotter_link_panicked(void) {
    print("panicked\n");
    power_off(2);
}

/* A trap, which there must be none of. */
void __attribute__((aligned(4))) trapped(void) {
    print("trapped\n");
    power_off(3);
}
