/* A fake libnvidia-ml.so.1: boards that follow a power script, behind sensors that lie the way real ones do.
 *
 * Theory of operation. Nothing happens between calls: every answer is a pure function of the configuration and of
 * the present time t (seconds of script time), so that tests know the truth exactly.
 *
 *   trace     break points (t, watts); watts hold from their t until the next one (piecewise constant), the first
 *             reaches back and the last reaches on for ever. E(t), its integral, is exact through prefix sums.
 *   counter   base + gain x E, looked at on a grid of `period` with a `phase`: it steps, and stands between steps.
 *   average   the mean of power over the `window` before the latest tick of its own grid; `instant` likewise.
 *   faults    hold in [from, to) of script time; see `fault` below and tests/fakes/nvml/__init__.py.
 *   settings  power limit and locked clocks can be set, and stay set: see settings.h.
 *
 * Time is virtual (set by the test, fake_nvml_set_time) or real: (CLOCK_REALTIME - epoch) x speed.
 * The configuration is the text file named by FAKE_NVML_CONFIG; it and the traces are looked at with one stat() a
 * call and read again when they changed. A trace that only grew is read from where it stopped.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9,
    UNKNOWN = 999
};
enum {
    MAX_DEVICES = 16, MAX_FAULTS = 32, MAX_MIGS = 8, FIELD_POWER_AVERAGE = 185, FIELD_POWER_INSTANT = 186,
    SCOPE_GPU = 0, SCOPE_MODULE = 1, TOTAL_POWER_SAMPLES = 0, BUFFERED = 120
};
#define BUFFER_PERIOD 0.02 /* seconds between two samples that the board keeps */

typedef struct { double t, watts, joules; } Point;

typedef struct {
    char path[4096];
    struct stat seen;
    long offset;
    Point *points;
    size_t count, room;
} Trace;

typedef struct { char kind[16]; double from, to, value; long left; } Fault;

typedef struct { double window, period; } Sensor;

typedef struct {
    char name[96], uuid[96], bus[32];
    char migs[MAX_MIGS][96];
    int mig_count;
    unsigned architecture, limit_mw, min_limit_mw, max_limit_mw, default_limit_mw, virtualization;
    unsigned min_clock, max_clock, clock_step, memory_clock; /* MHz; without a step the board tells no clocks */
    double period, phase, gain, base;
    Sensor average, instant;
    int module;
    Fault faults[MAX_FAULTS];
    int fault_count;
    Trace trace;
    double high, high_origin; /* the counter never steps back because points came late */
} Device;

typedef struct { unsigned limit_mw; int locked; unsigned low_mhz, high_mhz; } Settings; /* 0 mW: as it came */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Device devices[MAX_DEVICES];
static int device_count;
static Fault driver_faults[MAX_FAULTS];
static int driver_fault_count;
static char driver_version[80] = "570.86.15";
static char config_path[4096];
static struct stat config_seen;
static int virtual_clock = 1;
static double virtual_now, epoch, speed = 1.0;
static int references;
static double initialised_at;
static long calls_energy, calls_usage, calls_field, calls_init, calls_lookup, calls_set;
static Settings settings[MAX_DEVICES];
static char settings_path[4096];
static struct stat settings_seen;
static long settings_offset;

/* ---- time ---- */

static double now(void) {
    struct timespec ts;
    if (virtual_clock) return virtual_now;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ((double)ts.tv_sec - epoch + (double)ts.tv_nsec / 1e9) * speed;
}

static void pass(double seconds) {
    struct timespec ts;
    if (virtual_clock) {
        virtual_now += seconds;
        return;
    }
    seconds /= speed;
    ts.tv_sec = (time_t)seconds;
    ts.tv_nsec = (long)((seconds - floor(seconds)) * 1e9);
    pthread_mutex_unlock(&lock);
    nanosleep(&ts, NULL);
    pthread_mutex_lock(&lock);
}

static double tick(double t, double period, double phase) {
    return period > 0 ? phase + floor((t - phase) / period + 1e-9) * period : t;
}

/* ---- power and energy of a trace ---- */

static const Point *latest(const Trace *trace, double t) {
    size_t low = 0, high = trace->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (trace->points[middle].t <= t) low = middle; else high = middle;
    }
    return &trace->points[low];
}

static double watts_at(const Trace *trace, double t) { return trace->count ? latest(trace, t)->watts : 0.0; }

static double joules_at(const Trace *trace, double t) {
    const Point *point;
    if (!trace->count) return 0.0;
    point = latest(trace, t);
    return point->joules + point->watts * (t - point->t);
}

static void add_point(Trace *trace, double t, double watts) {
    Point *last = trace->count ? &trace->points[trace->count - 1] : NULL;
    double joules = last ? last->joules + last->watts * (t - last->t) : 0.0;
    if (last && t < last->t) return;
    if (trace->count == trace->room) {
        trace->room = trace->room ? trace->room * 2 : 1024;
        trace->points = realloc(trace->points, trace->room * sizeof(Point));
    }
    trace->points[trace->count++] = (Point){t, watts, joules};
}

/* ---- reading files ---- */

static int changed(const char *path, struct stat *seen) {
    struct stat fresh;
    int differs;
    if (stat(path, &fresh)) return 0;
    differs = fresh.st_ino != seen->st_ino || fresh.st_size != seen->st_size ||
              fresh.st_mtim.tv_sec != seen->st_mtim.tv_sec || fresh.st_mtim.tv_nsec != seen->st_mtim.tv_nsec;
    if (differs) *seen = fresh;
    return differs;
}

static void follow_trace(Trace *trace) {
    ino_t inode = trace->seen.st_ino;
    char line[128];
    FILE *file;
    if (!trace->path[0] || !changed(trace->path, &trace->seen)) return;
    if (trace->seen.st_ino != inode || trace->seen.st_size < trace->offset) trace->offset = 0, trace->count = 0;
    if (!(file = fopen(trace->path, "r"))) return;
    fseek(file, trace->offset, SEEK_SET);
    while (fgets(line, sizeof line, file) && strchr(line, '\n')) { /* a line still being written waits */
        char *rest;
        double t = strtod(line, &rest);
        add_point(trace, t, strtod(rest, NULL));
        trace->offset = ftell(file);
    }
    fclose(file);
}

static void open_trace(Device *device, const char *path) {
    if (!strcmp(device->trace.path, path)) return; /* the same script: keep what was read */
    free(device->trace.points);
    memset(&device->trace, 0, sizeof device->trace);
    snprintf(device->trace.path, sizeof device->trace.path, "%s", path);
}

static void fault(Fault *list, int *count, const char *text) {
    Fault entry = {.value = 0.0, .left = -1};
    if (*count == MAX_FAULTS) return;
    if (sscanf(text, "%15s %lf %lf %lf %ld", entry.kind, &entry.from, &entry.to, &entry.value, &entry.left) >= 3)
        list[(*count)++] = entry;
}

static Device *begin_device(void) {
    Device *device = &devices[device_count < MAX_DEVICES ? device_count++ : MAX_DEVICES - 1];
    Trace kept = device->trace;
    memset(device, 0, sizeof *device);
    device->trace = kept;
    device->gain = 1.0;
    device->high = -INFINITY;
    return device;
}

static void describe(Device *d, const char *word, const char *rest) {
    if (!strcmp(word, "name")) snprintf(d->name, sizeof d->name, "%s", rest);
    else if (!strcmp(word, "uuid")) snprintf(d->uuid, sizeof d->uuid, "%s", rest);
    else if (!strcmp(word, "bus")) snprintf(d->bus, sizeof d->bus, "%s", rest);
    else if (!strcmp(word, "mig") && d->mig_count < MAX_MIGS)
        snprintf(d->migs[d->mig_count++], sizeof d->migs[0], "%s", rest);
    else if (!strcmp(word, "architecture")) d->architecture = (unsigned)strtoul(rest, NULL, 10);
    else if (!strcmp(word, "limits"))
        sscanf(rest, "%u %u %u %u", &d->limit_mw, &d->min_limit_mw, &d->max_limit_mw, &d->default_limit_mw);
    else if (!strcmp(word, "clocks"))
        sscanf(rest, "%u %u %u %u", &d->min_clock, &d->max_clock, &d->clock_step, &d->memory_clock);
    else if (!strcmp(word, "virtualization")) d->virtualization = (unsigned)strtoul(rest, NULL, 10);
    else if (!strcmp(word, "counter")) sscanf(rest, "%lf %lf %lf %lf", &d->period, &d->phase, &d->gain, &d->base);
    else if (!strcmp(word, "average")) sscanf(rest, "%lf %lf", &d->average.window, &d->average.period);
    else if (!strcmp(word, "instant")) sscanf(rest, "%lf %lf", &d->instant.window, &d->instant.period);
    else if (!strcmp(word, "module")) d->module = (int)strtol(rest, NULL, 10);
    else if (!strcmp(word, "trace")) open_trace(d, rest);
    else if (!strcmp(word, "fault")) fault(d->faults, &d->fault_count, rest);
}

static void read_clock(const char *rest) {
    virtual_clock = strncmp(rest, "real", 4) != 0;
    if (!virtual_clock) sscanf(rest, "real %lf %lf", &epoch, &speed);
}

static void open_settings(const char *path);
static void follow_settings(void);

static void read_config(void) {
    char line[5000];
    Device *device = NULL;
    FILE *file = fopen(config_path, "r");
    if (!file) return;
    device_count = 0;
    driver_fault_count = 0;
    while (fgets(line, sizeof line, file)) {
        char *rest = strchr(line, ' ');
        line[strcspn(line, "\n")] = '\0';
        if (rest) *rest++ = '\0'; else rest = line + strlen(line);
        if (!strcmp(line, "device")) device = begin_device();
        else if (!strcmp(line, "clock")) read_clock(rest);
        else if (!strcmp(line, "settings")) open_settings(rest);
        else if (!strcmp(line, "driver")) snprintf(driver_version, sizeof driver_version, "%s", rest);
        else if (!strcmp(line, "driver_fault")) fault(driver_faults, &driver_fault_count, rest);
        else if (device) describe(device, line, rest);
    }
    fclose(file);
}

static void refresh(void) {
    const char *named = getenv("FAKE_NVML_CONFIG");
    if (!config_path[0] && named) snprintf(config_path, sizeof config_path, "%s", named);
    if (config_path[0] && changed(config_path, &config_seen)) read_config();
    for (int i = 0; i < device_count; i++) follow_trace(&devices[i].trace);
    follow_settings();
}

/* ---- faults ---- */

static Fault *active(Fault *list, int count, const char *kind, double t) {
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].kind, kind) && list[i].from <= t && t < list[i].to && list[i].left != 0) return &list[i];
    return NULL;
}

static int device_fault(Device *d, const char *kind) { return active(d->faults, d->fault_count, kind, now()) != NULL; }

/* The driver went away since we were initialised: what we hold is dead until somebody initialises again. */
static int driver_gone(void) {
    for (int i = 0; i < driver_fault_count; i++)
        if (driver_faults[i].from > initialised_at && driver_faults[i].from <= now()) return 1;
    return 0;
}

static int gate(Device *d) {
    Fault *error;
    if (!references) return UNINITIALIZED;
    if (driver_gone()) return UNKNOWN;
    if (!d || d - devices >= device_count) return INVALID_ARGUMENT;
    if (!(error = active(d->faults, d->fault_count, "error", now()))) return OK;
    if (error->left > 0) error->left--;
    return (int)error->value;
}

static double slowness(Device *d) {
    Fault *slow = active(d->faults, d->fault_count, "slow", now());
    return slow ? slow->value / 1e3 : 0.0;
}

/* ---- the sensors ---- */

static double gained(const Device *d, double at) {
    double joules = joules_at(&d->trace, at);
    for (int i = 0; i < d->fault_count; i++) {
        const Fault *f = &d->faults[i];
        if (!strcmp(f->kind, "gain") && at > f->from)
            joules += (f->value - 1.0) * (joules_at(&d->trace, fmin(at, f->to)) - joules_at(&d->trace, f->from));
    }
    return joules * d->gain;
}

static double counter_joules(Device *d, double t) {
    const Fault *stuck = active(d->faults, d->fault_count, "stuck", t);
    double at = tick(stuck ? stuck->from : t, d->period, d->phase), origin = 0.0, base = d->base, joules;
    for (int i = 0; i < d->fault_count; i++)
        if (!strcmp(d->faults[i].kind, "reset") && d->faults[i].from <= at && d->faults[i].from >= origin)
            origin = d->faults[i].from, base = 0.0;
    joules = base + gained(d, at) - gained(d, origin);
    if (origin == d->high_origin && joules < d->high) return d->high;
    d->high_origin = origin;
    return d->high = joules;
}

static unsigned sensed_mw(const Device *d, Sensor sensor) {
    double at = tick(now(), sensor.period, d->phase);
    double watts = sensor.window > 0
        ? (joules_at(&d->trace, at) - joules_at(&d->trace, at - sensor.window)) / sensor.window
        : watts_at(&d->trace, at);
    return (unsigned)(fmax(watts, 0.0) * 1e3 + 0.5);
}

/* ---- the library ---- */

/* A call: takes the lock, looks at the files, counts itself, and is slow half before and half after the look. */
static double enter(Device *d, long *calls) {
    double half;
    pthread_mutex_lock(&lock);
    refresh();
    (*calls)++;
    half = d ? slowness(d) / 2 : 0.0;
    if (half > 0) pass(half);
    return half;
}

static int leave(double half, int result) {
    if (half > 0) pass(half);
    pthread_mutex_unlock(&lock);
    return result;
}

static void copy(char *out, unsigned room, const char *text) { snprintf(out, room, "%s", text); }

int nvmlInitWithFlags(unsigned flags) {
    const Fault *gone;
    (void)flags;
    enter(NULL, &calls_init);
    gone = active(driver_faults, driver_fault_count, "gone", now());
    if (gone) return leave(0, gone->value > 0 ? (int)gone->value : DRIVER_NOT_LOADED);
    if (references++ == 0) initialised_at = now();
    return leave(0, OK);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    pthread_mutex_lock(&lock);
    if (!references) return leave(0, UNINITIALIZED);
    references--;
    return leave(0, OK);
}

const char *nvmlErrorString(int result) {
    switch (result) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *out, unsigned room) {
    enter(NULL, &calls_lookup);
    if (!references) return leave(0, UNINITIALIZED);
    copy(out, room, driver_version);
    return leave(0, OK);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    enter(NULL, &calls_lookup);
    if (!references) return leave(0, UNINITIALIZED);
    *count = (unsigned)device_count;
    return leave(0, driver_gone() ? UNKNOWN : OK);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **out) {
    Device *d = index < MAX_DEVICES ? &devices[index] : NULL;
    enter(NULL, &calls_lookup);
    *out = d;
    return leave(0, gate(d));
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **out) {
    enter(NULL, &calls_lookup);
    if (!references) return leave(0, UNINITIALIZED);
    for (int i = 0; i < device_count; i++) {
        *out = &devices[i];
        if (!strcasecmp(devices[i].uuid, uuid)) return leave(0, gate(*out));
        for (int m = 0; m < devices[i].mig_count; m++)
            if (!strcasecmp(devices[i].migs[m], uuid)) return leave(0, gate(*out));
    }
    return leave(0, NOT_FOUND);
}

/* An instance's handle is its board's here: nothing we meter tells them apart. */
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *mig, Device **out) {
    enter(NULL, &calls_lookup);
    *out = mig;
    return leave(0, gate(mig));
}

int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) {
    int result;
    enter(NULL, &calls_lookup);
    if ((result = gate(d)) == OK) *current = *pending = d->mig_count > 0;
    return leave(0, result);
}

static int text_of(Device *d, const char *text, char *out, unsigned room) {
    int result;
    enter(NULL, &calls_lookup);
    if ((result = gate(d)) == OK) copy(out, room, text);
    return leave(0, result);
}

int nvmlDeviceGetName(Device *d, char *out, unsigned room) { return text_of(d, d->name, out, room); }
int nvmlDeviceGetUUID(Device *d, char *out, unsigned room) { return text_of(d, d->uuid, out, room); }

static int number_of(Device *d, unsigned number, unsigned *out) {
    int result;
    enter(NULL, &calls_lookup);
    if ((result = gate(d)) == OK) *out = number;
    return leave(0, result);
}

int nvmlDeviceGetIndex(Device *d, unsigned *out) { return number_of(d, (unsigned)(d - devices), out); }
int nvmlDeviceGetArchitecture(Device *d, unsigned *out) { return number_of(d, d->architecture, out); }

#include "settings.h"

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char id[32];
} PciInfo;

int nvmlDeviceGetPciInfo_v3(Device *d, PciInfo *out) {
    int result;
    enter(NULL, &calls_lookup);
    memset(out, 0, sizeof *out);
    if ((result = gate(d)) == OK) {
        sscanf(d->bus, "%x:%x:%x", &out->domain, &out->bus, &out->device);
        copy(out->id, sizeof out->id, d->bus);
    }
    return leave(0, result);
}

int nvmlDeviceGetTotalEnergyConsumption(Device *d, unsigned long long *out) {
    double half = enter(d, &calls_energy);
    int result = gate(d);
    if (result == OK && device_fault(d, "no_counter")) result = NOT_SUPPORTED;
    if (result == OK) *out = (unsigned long long)(fmax(counter_joules(d, now()), 0.0) * 1e3 + 1e-6);
    return leave(half, result);
}

int nvmlDeviceGetPowerUsage(Device *d, unsigned *out) {
    double half = enter(d, &calls_usage);
    int result = gate(d);
    if (result == OK && (device_fault(d, "no_power") || device_fault(d, "no_usage"))) result = NOT_SUPPORTED;
    if (result == OK) *out = sensed_mw(d, d->average);
    return leave(half, result);
}

typedef struct {
    uint32_t field, scope;
    int64_t timestamp, latency;
    uint32_t type, result;
    union { double d; unsigned u; unsigned long long ull; } value;
} FieldValue;

static void answer(Device *d, FieldValue *field) {
    int average = field->field == FIELD_POWER_AVERAGE, instant = field->field == FIELD_POWER_INSTANT;
    int known = (average || instant) && (field->scope == SCOPE_GPU || (field->scope == SCOPE_MODULE && d->module));
    field->type = 1; /* unsigned int */
    field->result = known && !device_fault(d, "no_power") && !device_fault(d, average ? "no_usage" : "no_instant")
        ? OK : NOT_SUPPORTED;
    if (field->result == OK) field->value.u = sensed_mw(d, average ? d->average : d->instant);
}

int nvmlDeviceGetFieldValues(Device *d, int count, FieldValue *fields) {
    double half = enter(d, &calls_field);
    int result = gate(d);
    for (int i = 0; result == OK && i < count; i++) answer(d, &fields[i]);
    return leave(half, result);
}

typedef struct { unsigned long long stamp; union { double d; unsigned u; unsigned long long ull; } value; } Sample;

/* The latest samples of power, as the board keeps them: stamps in microseconds, values in milliwatts. */
int nvmlDeviceGetSamples(Device *d, unsigned kind, unsigned long long since, unsigned *type, unsigned *count, Sample *out) {
    double half = enter(d, &calls_usage), last = tick(now(), BUFFER_PERIOD, 0.0);
    int result = gate(d), room = out ? (int)*count : BUFFERED, kept = 0;
    if (result == OK && (kind != TOTAL_POWER_SAMPLES || device_fault(d, "no_power"))) result = NOT_SUPPORTED;
    for (int i = BUFFERED - 1; result == OK && i >= 0 && kept < room; i--) {
        double at = last - i * BUFFER_PERIOD;
        if (at < 0 || at * 1e6 <= (double)since) continue;
        if (out) out[kept] = (Sample){.stamp = (unsigned long long)(at * 1e6 + 0.5), .value.u = (unsigned)(watts_at(&d->trace, at) * 1e3 + 0.5)};
        kept++;
    }
    *type = 1; /* unsigned int */
    *count = (unsigned)kept;
    return leave(half, result == OK && !kept ? NOT_FOUND : result);
}

/* ---- for tests ---- */

/* Start over with this configuration, as if freshly loaded. */
void fake_nvml_configure(const char *path) {
    pthread_mutex_lock(&lock);
    snprintf(config_path, sizeof config_path, "%s", path);
    memset(&config_seen, 0, sizeof config_seen);
    settings_path[0] = '\0';
    references = 0;
    virtual_now = 0.0;
    calls_energy = calls_usage = calls_field = calls_init = calls_lookup = calls_set = 0;
    refresh();
    pthread_mutex_unlock(&lock);
}

/* Read the configuration again although it may look unchanged. */
void fake_nvml_reload(void) {
    pthread_mutex_lock(&lock);
    memset(&config_seen, 0, sizeof config_seen);
    refresh();
    pthread_mutex_unlock(&lock);
}

void fake_nvml_set_time(double t) { virtual_now = t; }
double fake_nvml_now(void) { return now(); }
int fake_nvml_references(void) { return references; }

double fake_nvml_true_joules(int index, double from, double to) {
    double joules;
    pthread_mutex_lock(&lock);
    refresh();
    joules = joules_at(&devices[index].trace, to) - joules_at(&devices[index].trace, from);
    pthread_mutex_unlock(&lock);
    return joules;
}

long fake_nvml_calls(const char *which) {
    if (!strcmp(which, "energy")) return calls_energy;
    if (!strcmp(which, "usage")) return calls_usage;
    if (!strcmp(which, "field")) return calls_field;
    if (!strcmp(which, "set")) return calls_set;
    return !strcmp(which, "init") ? calls_init : calls_lookup;
}
