/* One line that lives, or plain lines. */
#include "progress.h"
#include "output.h"
#include "report.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 512, BAR_CELLS = 20 };
static const int64_t redraw_ns = 100000000;    /* 10 Hz */
static const int64_t plain_ns = 60000000000LL; /* a line a minute */

static cli_progress_mode pick_mode(const cli_options *options)
{
    const char *terminal = getenv("TERM");
    if (options->quiet)
        return CLI_PROGRESS_NONE;
    if (options->progress != CLI_PROGRESS_AUTO)
        return (cli_progress_mode)options->progress;
    if (!isatty(STDERR_FILENO) || terminal == NULL || strcmp(terminal, "dumb") == 0)
        return CLI_PROGRESS_PLAIN;
    return CLI_PROGRESS_BAR;
}

void cli_progress_open(cli_progress *out, const cli_options *options, const char *metric)
{
    *out = (cli_progress){
        .mode = pick_mode(options),
        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .quiet = options->quiet,
        .drawn_ns = bur_time_ns(),
        .epochs = options->epochs,
        .metric = metric,
    };
}

static void bar_text(char *text, size_t size, const cli_progress *progress, double share)
{
    const int full = (int)(share * BAR_CELLS + 0.5);
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < BAR_CELLS && used < size; i++) {
        const char *cell =
            progress->utf8 ? (i < full ? "\u2588" : "\u2591") : (i < full ? "#" : "-");
        used += (size_t)snprintf(text + used, size - used, "%s", cell);
    }
}

/* Digits of the number of epochs: so wide is every epoch's number. */
static int epoch_width(int64_t epochs)
{
    return snprintf(NULL, 0, "%" PRId64, epochs);
}

static const char *short_metric(const cli_progress *progress)
{
    return strcmp(progress->metric, "accuracy") == 0 ? "acc" : progress->metric;
}

static int terminal_width(void)
{
    const int width = cli_terminal_width(STDERR_FILENO);
    return width < 20 ? 80 : width;
}

/* Cuts text to so many columns; each character is one column wide. */
static void cut(char *text, int columns)
{
    for (; *text != '\0' && columns > 0; columns--)
        do
            text++;
        while (((unsigned char)*text & 0xc0u) == 0x80u); /* continuation bytes of UTF-8 */
    *text = '\0';
}

void cli_progress_clear(cli_progress *progress)
{
    if (progress == NULL || !progress->drawn)
        return;
    fputs("\r\033[K", stderr);
    progress->drawn = false;
}

static void draw(cli_progress *progress, const bur_progress *now)
{
    char line[LINE_BYTES], bar[128], eta[CLI_NUMBER_TEXT], rate[CLI_NUMBER_TEXT];
    const int columns = terminal_width() - 1;
    const double share = now->steps > 0 ? (double)now->step / (double)now->steps : 0;
    bar_text(bar, sizeof bar, progress, share);
    cli_seconds_text(eta, sizeof eta, now->eta_s);
    cli_number_text(rate, sizeof rate, now->samples_per_s);
    /* a narrow terminal loses the bar, then the end of the line */
    snprintf(line, sizeof line,
             "epoch %*" PRId64 "/%" PRId64
             " %s%s%3.0f%%  loss %.4f  %s %.4f  %s/s  RAM %.0f%%  eta %s",
             epoch_width(now->epochs), now->epoch, now->epochs, columns < 84 ? "" : bar,
             columns < 84 ? "" : " ", 100 * share, now->loss, short_metric(progress), now->metric,
             rate, now->ram_percent, eta);
    cut(line, columns);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    progress->drawn = true;
}

static void print_plain(const cli_progress *progress, const bur_progress *now)
{
    char eta[CLI_NUMBER_TEXT], rate[CLI_NUMBER_TEXT];
    fprintf(stderr,
            "epoch %*" PRId64 "/%" PRId64 "  step %" PRId64 "/%" PRId64
            "  loss %.4f  %s %.4f  %s/s  RAM %.0f%%  eta %s\n",
            epoch_width(now->epochs), now->epoch, now->epochs, now->step, now->steps, now->loss,
            short_metric(progress), now->metric,
            cli_number_text(rate, sizeof rate, now->samples_per_s), now->ram_percent,
            cli_seconds_text(eta, sizeof eta, now->eta_s));
}

static void print_json_line(json_t *line, const char *event)
{
    json_object_set_new(line, "event", json_string(event));
    json_dumpf(line, stderr, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', stderr);
    json_decref(line);
}

static json_t *update_json(const bur_progress *now, const char *metric)
{
    return json_pack("{sI sI sI sI so so so so so}", "epoch", (json_int_t)now->epoch, "epochs",
                     (json_int_t)now->epochs, "step", (json_int_t)now->step, "steps",
                     (json_int_t)now->steps, "loss", cli_real(now->loss), metric,
                     cli_real(now->metric), "samples_per_s", cli_real(now->samples_per_s), "eta_s",
                     cli_real(now->eta_s), "ram_percent", cli_real(now->ram_percent));
}

void cli_progress_update(cli_progress *progress, const bur_progress *now)
{
    const int64_t time_ns = bur_time_ns();
    const bool is_plain = progress->mode == CLI_PROGRESS_PLAIN;
    progress->epochs = now->epochs;
    if (progress->mode == CLI_PROGRESS_NONE ||
        time_ns - progress->drawn_ns < (is_plain ? plain_ns : redraw_ns))
        return;
    progress->drawn_ns = time_ns;
    if (progress->mode == CLI_PROGRESS_BAR)
        draw(progress, now);
    else if (is_plain)
        print_plain(progress, now);
    else
        print_json_line(update_json(now, progress->metric), "progress");
}

void cli_progress_epoch(cli_progress *progress, const bur_epoch *epoch)
{
    char validation[96] = "", penalty[48] = "", seconds[CLI_NUMBER_TEXT], rate[CLI_NUMBER_TEXT];
    if (progress->mode == CLI_PROGRESS_NONE)
        return;
    if (progress->mode == CLI_PROGRESS_JSON) {
        json_t *line =
            json_pack("{sI so so so so so so so}", "epoch", (json_int_t)epoch->epoch, "loss",
                      cli_real(epoch->loss), progress->metric, cli_real(epoch->metric), "val_loss",
                      cli_real(epoch->val_loss), "val_metric", cli_real(epoch->val_metric),
                      "seconds", cli_real(epoch->seconds), "samples_per_s",
                      cli_real(epoch->samples_per_s), "ram_percent", cli_real(epoch->ram_percent));
        print_json_line(line, "epoch");
        return;
    }
    if (epoch->val_loss == epoch->val_loss) /* not NaN: there is a validation set */
        snprintf(validation, sizeof validation, " | val loss %.4f  %s %.4f", epoch->val_loss,
                 short_metric(progress), epoch->val_metric);
    if (epoch->penalty > 0)
        snprintf(penalty, sizeof penalty, " + penalty %.4f", epoch->penalty);
    cli_progress_clear(progress);
    fprintf(stderr,
            "epoch %*" PRId64 "/%" PRId64 "  loss %.4f%s  %s %.4f%s  %s/s  RAM %.0f%%  %s\n",
            epoch_width(progress->epochs), epoch->epoch, progress->epochs, epoch->loss, penalty,
            short_metric(progress), epoch->metric, validation,
            cli_number_text(rate, sizeof rate, epoch->samples_per_s), epoch->ram_percent,
            cli_seconds_text(seconds, sizeof seconds, epoch->seconds));
    progress->drawn_ns = bur_time_ns();
}

void cli_progress_note(cli_progress *progress, const char *format, ...)
{
    char text[2 * LINE_BYTES];
    va_list arguments;
    if (progress->quiet)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_progress_clear(progress);
    if (progress->mode == CLI_PROGRESS_JSON)
        print_json_line(json_pack("{ss}", "text", text), "note");
    else
        fprintf(stderr, "%s\n", text);
}

void cli_progress_plan(cli_progress *progress, const bur_run_plan *plan, bool is_host,
                       const char *reason)
{
    char text[2 * LINE_BYTES];
    if (progress->mode == CLI_PROGRESS_JSON) {
        print_json_line(cli_run_plan_json(plan), "planned");
        return;
    }
    cli_run_plan_text(text, sizeof text, plan, is_host);
    cli_progress_note(progress, "%s\n  batch %" PRId64 ": %s", text, plan->batch, reason);
}

void cli_progress_status(cli_progress *progress, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    if (progress->mode != CLI_PROGRESS_BAR)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cut(line, terminal_width() - 1);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    progress->drawn = true;
}

void cli_log(void *user, bur_log_level level, const char *module, const char *line)
{
    cli_app *app = user;
    cli_progress_clear(app->progress);
    fprintf(stderr, "%s: %s: %s\n", cli_log_level_name(level), module, line);
}
