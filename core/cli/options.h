/* options.h: one table of all flags and keys. From it come the parser, the help and the ranges in
 * error messages. */
#ifndef BUR_CLI_OPTIONS_H
#define BUR_CLI_OPTIONS_H

#include <burthen/burthen.h>

typedef enum cli_verb_bit {
    CLI_VERB_DEVICES = 1,
    CLI_VERB_MODELS = 2,
    CLI_VERB_OPS = 4,
    CLI_VERB_SUMMARY = 8,
    CLI_VERB_PLAN = 16,
    CLI_VERB_TRAIN = 32,
    CLI_VERB_EVAL = 64,
    CLI_VERB_BENCH = 128,
    CLI_VERB_HELP = 256,
    CLI_VERB_VERSION = 512,
} cli_verb_bit;

typedef enum cli_format { CLI_TABLE, CLI_JSON, CLI_JSONL, CLI_CSV, CLI_MARKDOWN } cli_format;

typedef enum cli_progress_mode {
    CLI_PROGRESS_AUTO,
    CLI_PROGRESS_BAR,
    CLI_PROGRESS_PLAIN,
    CLI_PROGRESS_JSON,
    CLI_PROGRESS_NONE,
} cli_progress_mode;

enum { CLI_MAX_WORDS = 16, CLI_MAX_NUMBERS = 1024 };

/* Batches that are searched for, as less than 0 in the order of the table's words. */
enum { CLI_BATCH_FIND = -1, CLI_BATCH_USUAL = -2, CLI_BATCH_SEARCHES = 2 };

/* What "0.5,1,2" says. */
typedef struct cli_numbers {
    float value[CLI_MAX_NUMBERS];
    int32_t count;
} cli_numbers;

/* What the command line asks for. Zero in a field means "not given, no default of the program's".
 */
typedef struct cli_options {
    /* flags */
    int32_t format;   /* cli_format */
    int32_t progress; /* cli_progress_mode */
    int32_t mode;     /* bench: 0 train, 1 infer */
    bool json, quiet, dry_run, help, profile, measure, verify;
    const char *device; /* bench: a list */
    const char *batches, *compare;
    uint64_t ram_bytes, device_memory_bytes, budget_bytes;
    /* keys */
    const char *data, *hidden, *weights, *out;
    bur_shape input;
    int64_t classes, length, samples, depth, epochs, accumulate, threads, seed;
    int64_t warmup, decay_epochs;
    int64_t batch; /* 0 auto, CLI_BATCH_FIND, CLI_BATCH_USUAL */
    double learning_rate, decay, momentum, dropout, width, validation_split;
    double l1, l2, weight_decay, clip_norm, clip_value, ema;
    double recompute; /* 0 auto, 1 off, else the share that is kept */
    double smoothing;
    int64_t ignore;            /* a label; -1: none */
    cli_numbers class_weights; /* none: 1 each */
    int32_t proximal;          /* 0 off, 1 on */
    int32_t optimizer;         /* bur_optimizer_kind */
    int32_t schedule;          /* bur_schedule_kind */
    int32_t loss;              /* bur_loss; BUR_LOSS_NONE: by the data */
    int32_t stem;              /* 0 imagenet, 1 small */
    int32_t memory_growth;     /* 0 off, 1 on */
    int32_t fallback;          /* 0 on, 1 off */
    int32_t placement;         /* bur_placement_effort */
    int32_t preset;            /* 0 none; its values stand in the fields */
    /* what is left */
    const char *words[CLI_MAX_WORDS];
    int32_t word_count;
    /* owners of the texts above */
    void *parser;
    char *owned[CLI_MAX_WORDS];
    int32_t owned_count;
} cli_options;

typedef enum cli_type {
    CLI_TYPE_SWITCH,
    CLI_TYPE_INTEGER,
    CLI_TYPE_NUMBER,
    CLI_TYPE_SHARE, /* "60%", kept as 0.6; the words stand for 0, 1, ... */
    CLI_TYPE_SIZE,  /* "12GiB" */
    CLI_TYPE_SHAPE, /* "28x28x1" */
    CLI_TYPE_NUMBERS,
    CLI_TYPE_CHOICE,
    CLI_TYPE_TEXT,
} cli_type;

typedef struct cli_option {
    const char *name;
    char letter; /* a flag's short form, 0 if none */
    bool is_key; /* name=value, else --name value */
    cli_type type;
    const char *value;        /* how the value is written in help: "N|auto" */
    const char *standard;     /* the default, read like a given value; NULL: the field stays 0 */
    double least, most;       /* range of integers and numbers */
    const char *const *words; /* choices; for integers, those that stand for 0, -1, ...; for
                                 shares, for 0 and 1 */
    uint32_t verbs;           /* cli_verb_bit */
    size_t offset;            /* of the field in cli_options */
    const char *text;
} cli_option;

/* The table; ends with a NULL name. */
extern const cli_option cli_option_table[];

/* Reads a verb's arguments, argv[0] being the verb's name. Prints the error and gives CLI_USAGE.
 * cli_options_clear is due in any case. */
int cli_options_parse(cli_options *out, const char *verb, uint32_t bit, int argc,
                      const char **argv);
void cli_options_clear(cli_options *options);

/* Reads a value as `option` says into *options; NULL if it did, else what is expected, written into
 * text[size]. */
const char *cli_option_read(cli_options *options, const cli_option *option, const char *value,
                            char *text, size_t size);

#endif
