/* What a board can be set to: its power limit and its locked clocks. Included by fake_nvml.c.
 *
 * Theory of operation. Every set call of every process appends one line to the file named by `settings`:
 *
 *     <wall clock> <pid> <board> <what> <value> <value> <result> <took effect>
 *
 * in one write, so lines of several processes never mix. What is set is what the last line that took effect says;
 * so it outlives the process that set it, as on a real board, and the file is the journal that tests read.
 */

#include <fcntl.h>
#include <unistd.h>

enum { NO_PERMISSION = 4, INSUFFICIENT_SIZE = 7, CLOCK_GRAPHICS = 0, CLOCK_SM = 1, CLOCK_MEM = 2 };
enum { REASON_IDLE = 1, REASON_CLOCKS_SETTING = 2, REASON_POWER_CAP = 4 };

static void apply_setting(int index, const char *what, unsigned low, unsigned high) {
    Settings *s;
    if (index < 0 || index >= MAX_DEVICES) return;
    s = &settings[index];
    if (!strcmp(what, "power_limit")) s->limit_mw = low;
    else if (!strcmp(what, "clocks")) s->locked = 1, s->low_mhz = low, s->high_mhz = high;
    else if (!strcmp(what, "reset_clocks")) s->locked = 0;
}

static void follow_settings(void) {
    char line[256], what[32];
    int pid, index, result, took;
    unsigned low, high;
    double at;
    FILE *file;
    if (!settings_path[0] || !changed(settings_path, &settings_seen)) return;
    if (settings_seen.st_size < settings_offset) settings_offset = 0, memset(settings, 0, sizeof settings);
    if (!(file = fopen(settings_path, "r"))) return;
    fseek(file, settings_offset, SEEK_SET);
    while (fgets(line, sizeof line, file) && strchr(line, '\n')) {
        settings_offset = ftell(file);
        if (sscanf(line, "%lf %d %d %31s %u %u %d %d", &at, &pid, &index, what, &low, &high, &result, &took) == 8 && took)
            apply_setting(index, what, low, high);
    }
    fclose(file);
}

static void open_settings(const char *path) {
    if (!strcmp(settings_path, path)) return;
    snprintf(settings_path, sizeof settings_path, "%s", path);
    memset(&settings_seen, 0, sizeof settings_seen);
    memset(settings, 0, sizeof settings);
    settings_offset = 0;
}

static void write_setting(const Device *d, const char *what, unsigned low, unsigned high, int result, int took) {
    struct timespec ts;
    char line[256];
    int length, file = open(settings_path, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (file < 0) return;
    clock_gettime(CLOCK_REALTIME, &ts);
    length = snprintf(line, sizeof line, "%ld.%09ld %d %d %s %u %u %d %d\n", (long)ts.tv_sec, ts.tv_nsec, (int)getpid(),
                      (int)(d - devices), what, low, high, result, took);
    if (write(file, line, (size_t)length) != length) perror("fake NVML");
    close(file);
}

/* A setter: `allowed` is what a healthy driver would answer. */
static int set(Device *d, const char *what, unsigned low, unsigned high, int allowed) {
    double half = enter(d, &calls_set);
    int result = gate(d);
    Fault *refused = result == OK ? active(d->faults, d->fault_count, "set_error", now()) : NULL;
    if (refused) {
        if (refused->left > 0) refused->left--;
        result = (int)refused->value;
    }
    if (result == OK) result = allowed;
    write_setting(d, what, low, high, result, result == OK && !device_fault(d, "set_ignored"));
    follow_settings();
    return leave(half, result);
}

/* ---- the power limit ---- */

static unsigned limit_of(const Device *d) {
    unsigned chosen = settings[d - devices].limit_mw;
    return chosen ? chosen : d->limit_mw;
}

int nvmlDeviceGetPowerManagementLimit(Device *d, unsigned *out) {
    int result;
    enter(NULL, &calls_lookup);
    if ((result = gate(d)) == OK && !limit_of(d)) result = NOT_SUPPORTED;
    if (result == OK) *out = limit_of(d);
    return leave(0, result);
}

int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *out) { return nvmlDeviceGetPowerManagementLimit(d, out); }

int nvmlDeviceGetPowerManagementDefaultLimit(Device *d, unsigned *out) {
    return d->default_limit_mw ? number_of(d, d->default_limit_mw, out) : NOT_SUPPORTED;
}

int nvmlDeviceGetPowerManagementLimitConstraints(Device *d, unsigned *least, unsigned *most) {
    int result;
    if (!d->max_limit_mw || device_fault(d, "no_limits")) return NOT_SUPPORTED;
    if ((result = number_of(d, d->min_limit_mw, least)) != OK) return result;
    return number_of(d, d->max_limit_mw, most);
}

int nvmlDeviceSetPowerManagementLimit(Device *d, unsigned milliwatts) {
    int fits = d->min_limit_mw <= milliwatts && milliwatts <= d->max_limit_mw;
    int settable = d->max_limit_mw && !device_fault(d, "no_limits");
    return set(d, "power_limit", milliwatts, 0, settable ? (fits ? OK : INVALID_ARGUMENT) : NOT_SUPPORTED);
}

/* ---- clocks ---- */

static int has_clocks(Device *d) { return d->clock_step && !device_fault(d, "no_clocks"); }

/* The highest clock that the board has at or below this one. */
static unsigned step_below(const Device *d, unsigned mhz) {
    if (mhz <= d->min_clock) return d->min_clock;
    if (mhz >= d->max_clock) return d->max_clock;
    return d->max_clock - (d->max_clock - mhz + d->clock_step - 1) / d->clock_step * d->clock_step;
}

static unsigned running_clock(const Device *d) {
    const Settings *s = &settings[d - devices];
    return s->locked ? step_below(d, s->high_mhz) : d->max_clock;
}

static int clock_answer(Device *d, unsigned type, unsigned graphics, unsigned *out) {
    if (!has_clocks(d) || type > CLOCK_MEM) return NOT_SUPPORTED;
    return number_of(d, type == CLOCK_MEM ? d->memory_clock : graphics, out);
}

int nvmlDeviceGetMaxClockInfo(Device *d, unsigned type, unsigned *out) {
    return clock_answer(d, type, d->max_clock, out);
}

int nvmlDeviceGetClockInfo(Device *d, unsigned type, unsigned *out) {
    pthread_mutex_lock(&lock);
    refresh();
    pthread_mutex_unlock(&lock);
    return clock_answer(d, type, running_clock(d), out);
}

int nvmlDeviceGetSupportedMemoryClocks(Device *d, unsigned *count, unsigned *clocks) {
    if (!has_clocks(d)) return NOT_SUPPORTED;
    if (!clocks || *count < 1) return *count = 1, INSUFFICIENT_SIZE;
    *count = 1;
    return number_of(d, d->memory_clock, clocks);
}

int nvmlDeviceGetSupportedGraphicsClocks(Device *d, unsigned memory, unsigned *count, unsigned *clocks) {
    unsigned wanted;
    if (!has_clocks(d)) return NOT_SUPPORTED;
    if (memory != d->memory_clock) return NOT_FOUND;
    wanted = (d->max_clock - d->min_clock) / d->clock_step + 1;
    if (!clocks || *count < wanted) return *count = wanted, INSUFFICIENT_SIZE;
    *count = wanted;
    for (unsigned i = 0; i < wanted; i++) clocks[i] = d->max_clock - i * d->clock_step;
    return OK;
}

int nvmlDeviceSetGpuLockedClocks(Device *d, unsigned low, unsigned high) {
    return set(d, "clocks", low, high, has_clocks(d) ? (low <= high ? OK : INVALID_ARGUMENT) : NOT_SUPPORTED);
}

int nvmlDeviceResetGpuLockedClocks(Device *d) {
    return set(d, "reset_clocks", 0, 0, has_clocks(d) ? OK : NOT_SUPPORTED);
}

int nvmlDeviceGetCurrentClocksEventReasons(Device *d, unsigned long long *out) {
    int result;
    enter(NULL, &calls_lookup);
    if ((result = gate(d)) == OK) {
        double watts = watts_at(&d->trace, now());
        *out = settings[d - devices].locked ? REASON_CLOCKS_SETTING : 0;
        if (limit_of(d) && watts * 1e3 >= limit_of(d) * 0.995) *out |= REASON_POWER_CAP;
    }
    return leave(0, result);
}

int nvmlDeviceGetVirtualizationMode(Device *d, unsigned *out) { return number_of(d, d->virtualization, out); }
