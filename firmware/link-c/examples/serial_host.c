/* A host at a serial port: lines from standard input go to the ESP-AT module over a protected link, what the module answers
 * goes to standard output, and what happens to the link to standard error.
 *
 *   cc -std=c99 -Iinclude examples/serial_host.c libcotter_link.a -o serial_host
 *   ./serial_host /dev/ttyUSB0 link.key             # psk
 *   ./serial_host --noise /dev/ttyUSB0 link.key     # noise-nn
 *   echo AT+GMR | ./serial_host PORT KEY            # ends a second after the last answer
 *
 * link.key holds 64 hexadecimal digits, the same as at the module. The line runs at 115200 baud.
 * Exit: 0, 1 if something failed, 2 if it was not told what to do.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cotter_link.h"

/* Zeros until it is created; a noise link is the larger one. */
static cotter_link_noise_storage storage;

static uint64_t now_millis(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* On an MCU: its hardware generator. */
static int32_t random_bytes(void *context, uint8_t *out, size_t len) {
    int file = open("/dev/urandom", O_RDONLY);
    ssize_t got;
    (void)context;
    if (file < 0) {
        return -1;
    }
    got = read(file, out, len);
    close(file);
    return got == (ssize_t)len ? 0 : -1;
}

/* Eight data bits, no parity, nothing translated, no flow control; reads return what there is. */
static int open_port(const char *path) {
    struct termios mode;
    int port = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (port < 0 || tcgetattr(port, &mode) != 0) {
        return -1;
    }
    mode.c_iflag = 0;
    mode.c_oflag = 0;
    mode.c_lflag = 0;
    mode.c_cflag = CS8 | CREAD | CLOCAL;
    mode.c_cc[VMIN] = 0;
    mode.c_cc[VTIME] = 0;
    if (cfsetispeed(&mode, B115200) != 0 || cfsetospeed(&mode, B115200) != 0) {
        return -1;
    }
    return tcsetattr(port, TCSANOW, &mode) == 0 ? port : -1;
}

static int read_key(const char *path, uint8_t key[COTTER_LINK_KEY]) {
    FILE *file = fopen(path, "r");
    size_t at;
    unsigned byte;
    for (at = 0; file != NULL && at < COTTER_LINK_KEY; at++) {
        if (fscanf(file, "%2x", &byte) != 1) {
            break;
        }
        key[at] = (uint8_t)byte;
    }
    if (file != NULL) {
        fclose(file);
    }
    return file != NULL && at == COTTER_LINK_KEY ? 0 : -1;
}

static int write_all(int port, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        struct pollfd room = {port, POLLOUT, 0};
        ssize_t wrote = write(port, bytes, len);
        if (wrote < 0 && errno != EAGAIN && errno != EINTR) {
            return -1;
        }
        if (wrote > 0) {
            bytes += wrote;
            len -= (size_t)wrote;
        } else {
            (void)poll(&room, 1, 100);
        }
    }
    return 0;
}

/* All that came from the wire in one read. */
static int received(cotter_link *link, const uint8_t *wire, size_t len) {
    cotter_link_event event;
    size_t at = 0, used;
    do {
        int32_t code = cotter_link_receive(link, wire + at, len - at, now_millis(), &used, &event);
        if (code != COTTER_LINK_OK) {
            fprintf(stderr, "link: %s\n", cotter_link_text(code));
            return -1;
        }
        at += used;
        switch (event.kind) {
        case COTTER_LINK_EVENT_OPENED:
            fprintf(stderr, "link: open, suite %d%s\n", event.suite, event.continued ? ", new keys" : "");
            break;
        case COTTER_LINK_EVENT_DATA:
            fwrite(event.data, 1, event.len, stdout);
            fflush(stdout);
            break;
        case COTTER_LINK_EVENT_ESCAPE:
            fprintf(stderr, "link: the module leaves passthrough\n");
            break;
        case COTTER_LINK_EVENT_REFUSED:
            fprintf(stderr, "link: %s\n", cotter_link_text(event.reason));
            break;
        default:
            break;
        }
    } while (at < len || event.kind != COTTER_LINK_EVENT_NONE);
    return 0;
}

/* What the link has to say by now. */
static int transmitted(cotter_link *link, int port) {
    uint8_t out[COTTER_LINK_WIRE];
    size_t len;
    int32_t code;
    while ((code = cotter_link_transmit(link, now_millis(), out, sizeof out, &len)) == COTTER_LINK_OK && len > 0) {
        if (write_all(port, out, len) != 0) {
            perror("serial port");
            return -1;
        }
    }
    if (code != COTTER_LINK_OK) {
        fprintf(stderr, "link: %s\n", cotter_link_text(code));
    }
    return code == COTTER_LINK_OK ? 0 : -1;
}

/* How long nothing has to be done: until the link wakes, or for `most` milliseconds. */
static int pause_millis(cotter_link *link, uint64_t most) {
    uint64_t at = UINT64_MAX, now = now_millis();
    (void)cotter_link_wake_at(link, &at);
    if (at <= now) {
        return 0;
    }
    return (int)(at - now < most ? at - now : most);
}

static int talk(cotter_link *link, int port) {
    /* A line end becomes CR LF, so one byte of input is two at most. */
    uint8_t input[256], plain[512], wire[512];
    size_t queued = 0, sent = 0;
    int more = 1;
    uint64_t last = now_millis();
    for (;;) {
        struct pollfd ready[2] = {{port, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        cotter_link_status status;
        size_t taken;
        ssize_t got, at;
        if (transmitted(link, port) != 0 || cotter_link_status_of(link, &status) != COTTER_LINK_OK) {
            return 1;
        }
        if (!more && sent == queued && status.is_all_acknowledged && now_millis() - last > 1000) {
            return 0;
        }
        if (!status.is_open && now_millis() - last > 10000) {
            fprintf(stderr, "link: no module answers with this key\n");
            return 1;
        }
        /* Input is read once the link takes it. */
        if (!more || sent < queued || !status.is_open) {
            ready[1].fd = -1;
        }
        if (poll(ready, 2, pause_millis(link, 100)) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        if (ready[0].revents != 0) {
            got = read(port, wire, sizeof wire);
            if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
                fprintf(stderr, "the serial port is gone\n");
                return 1;
            }
            if (got > 0) {
                last = status.is_open ? now_millis() : last;
                if (received(link, wire, (size_t)got) != 0) {
                    return 1;
                }
            }
        }
        if (ready[1].fd >= 0 && ready[1].revents != 0) {
            got = read(STDIN_FILENO, input, sizeof input);
            last = now_millis();
            more = got > 0;
            queued = sent = 0;
            for (at = 0; at < got; at++) {
                if (input[at] == '\n') {
                    plain[queued++] = '\r';
                }
                plain[queued++] = input[at];
            }
        }
        if (sent < queued && cotter_link_send(link, plain + sent, queued - sent, &taken) == COTTER_LINK_OK) {
            sent += taken;
        }
    }
}

int main(int argc, char **argv) {
    int noise = argc > 1 && strcmp(argv[1], "--noise") == 0;
    uint8_t key[COTTER_LINK_KEY];
    cotter_link_settings settings;
    cotter_link *link;
    int32_t code;
    int port, outcome;
    if (argc - noise != 3) {
        fprintf(stderr, "usage: serial_host [--noise] PORT KEYFILE\n");
        return 2;
    }
    if (read_key(argv[2 + noise], key) != 0) {
        fprintf(stderr, "%s: no 64 hexadecimal digits\n", argv[2 + noise]);
        return 1;
    }
    port = open_port(argv[1 + noise]);
    if (port < 0) {
        perror(argv[1 + noise]);
        return 1;
    }
    (void)cotter_link_settings_default(&settings, COTTER_LINK_HOST, 115200);
    if (noise) {
        code = cotter_link_create_noise_nn(storage.bytes, sizeof storage.bytes, &settings, key, random_bytes, NULL, &link);
    } else {
        code = cotter_link_create_psk(storage.bytes, sizeof storage.bytes, &settings, key, random_bytes, NULL, &link);
    }
    memset(key, 0, sizeof key);
    if (code != COTTER_LINK_OK) {
        fprintf(stderr, "link: %s\n", cotter_link_text(code));
        return 1;
    }
    outcome = talk(link, port);
    (void)cotter_link_wipe(link);
    close(port);
    return outcome;
}
