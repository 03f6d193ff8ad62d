/* The one table of flags and keys. */
#include "options.h"

static const char *const formats[] = {"table", "json", "jsonl", "csv", "md", NULL};
static const char *const progresses[] = {"auto", "bar", "plain", "json", "none", NULL};
static const char *const modes[] = {"train", "infer", NULL};
static const char *const stems[] = {"imagenet", "small", NULL};
static const char *const switches[] = {"on", "off", NULL};
static const char *const offers[] = {"off", "on", NULL};
static const char *const presets[] = {"none", "laptop-16", "laptop-32", NULL};
static const char *const automatic[] = {"auto", NULL};
static const char *const batches[] = {"auto", "find", "usual", NULL};
static const char *const shares[] = {"auto", "off", NULL};
static const char *const losses[] = {
    [BUR_LOSS_NONE] = "auto",   [BUR_LOSS_CROSS_ENTROPY] = "cross_entropy",
    [BUR_LOSS_MSE] = "mse",     [BUR_LOSS_MAE] = "mae",
    [BUR_LOSS_HUBER] = "huber", [BUR_LOSS_BINARY_CROSS_ENTROPY] = "binary_cross_entropy",
    [BUR_LOSS_COUNT] = NULL};
static const char *const optimizers[] = {
#define OPTIMIZER_WORD(name, text, op, slots) #text,
    BUR_OPTIMIZER_MAP(OPTIMIZER_WORD)
#undef OPTIMIZER_WORD
        NULL};

static const char *const schedules[] = {
#define SCHEDULE_WORD(name, text, decay, epochs) #text,
    BUR_SCHEDULE_MAP(SCHEDULE_WORD)
#undef SCHEDULE_WORD
        NULL};

static const char *const placements[] = {"quick", "exhaustive", NULL};

#define ANY         0xffffffffu
#define LISTS       (CLI_VERB_DEVICES | CLI_VERB_MODELS | CLI_VERB_OPS)
#define RESULTS     (LISTS | CLI_VERB_SUMMARY | RUNS | CLI_VERB_BENCH)
#define RUNS        (CLI_VERB_PLAN | CLI_VERB_TRAIN | CLI_VERB_EVAL)
#define BUILDS      (CLI_VERB_SUMMARY | CLI_VERB_PLAN | CLI_VERB_TRAIN | CLI_VERB_BENCH)
#define TRAINS      (CLI_VERB_PLAN | CLI_VERB_TRAIN)
#define FIELD(name) offsetof(cli_options, name)
#define FLAG        false
#define KEY         true

/* The largest count that a 32-bit shape takes; what memory takes is said by the plan. */
#define MANY 2147483647.0

/* clang-format off */
const cli_option cli_option_table[] = {
    /* what is trained */
    {"data", 0, KEY, CLI_TYPE_TEXT, "NAME|FOLDER", NULL, 0, 0, NULL, RUNS | CLI_VERB_SUMMARY, FIELD(data),
     "the data set: a built-in name or a folder with the four IDX files"},
    {"input", 0, KEY, CLI_TYPE_SHAPE, "HxWxC|N", NULL, 0, 0, NULL, BUILDS, FIELD(input),
     "shape of one sample; by default the data's, else the model's"},
    {"classes", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 2, MANY, NULL, BUILDS, FIELD(classes),
     "classes to tell apart; by default the data's, else the model's"},
    {"length", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 2, MANY, NULL, RUNS | CLI_VERB_SUMMARY, FIELD(length),
     "data=adding and tokens: steps of a sequence; by default 100 and 128"},
    {"samples", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 1, MANY, NULL, TRAINS, FIELD(samples),
     "training samples of data that the program draws itself (digits, spiral, random ...)"},
    {"hidden", 0, KEY, CLI_TYPE_TEXT, "N-N-...", NULL, 0, 0, NULL, BUILDS, FIELD(hidden),
     "mlp, rnn, lstm and gru: units of the layers before the last, such as 128-64-32"},
    {"width", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0.01, 100, NULL, BUILDS, FIELD(width),
     "multiplies the filters and units of a model"},
    {"depth", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 1, 1000, NULL, BUILDS, FIELD(depth),
     "encoder layers of vit and transformer; by default 12 and 4"},
    {"stem", 0, KEY, CLI_TYPE_CHOICE, "NAME", "imagenet", 0, 0, stems, BUILDS, FIELD(stem),
     "the first layers of resnet, mobilenet and efficientnet: imagenet halves the image at once; small "
     "keeps its size, for images such as 28x28 or 32x32"},
    {"dropout", 0, KEY, CLI_TYPE_NUMBER, "X", "0", 0, 0.99, NULL, BUILDS, FIELD(dropout),
     "share of units that are left out in each step, before the last layer"},
    {"loss", 0, KEY, CLI_TYPE_CHOICE, "NAME", "auto", 0, 0, losses, TRAINS, FIELD(loss),
     "what is made small: cross_entropy for classes; for values mse (mean squared error), mae (mean absolute "
     "error), huber (squared where small, absolute beyond 1) or binary_cross_entropy (targets 0 and 1)"},

    {"smoothing", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 0.99, NULL, TRAINS, FIELD(smoothing),
     "label smoothing: takes share X of the target from the right class and deals it out to all, against "
     "overconfidence; 0.1 is usual. Validation is judged without it"},
    {"class_weights", 0, KEY, CLI_TYPE_NUMBERS, "X,X,...", NULL, 0, 1e30, NULL, TRAINS, FIELD(class_weights),
     "how much a sample of each class counts in training, as many as classes: more for rare ones"},
    {"ignore", 0, KEY, CLI_TYPE_INTEGER, "N", "-1", -1, MANY, NULL, TRAINS | CLI_VERB_EVAL, FIELD(ignore),
     "label of samples that are left out of loss and accuracy"},

    /* how it is trained */
    {"batch", 0, KEY, CLI_TYPE_INTEGER, "N|auto", "auto", 1, MANY, automatic, CLI_VERB_EVAL, FIELD(batch),
     "samples that are judged at once"},
    {"batch", 0, KEY, CLI_TYPE_INTEGER, "N|auto|find|usual", "auto", 1, MANY, batches, TRAINS, FIELD(batch),
     "samples per update of the weights. A small batch (16, 32) updates often, takes little memory "
     "and wanders; a large one (256) updates seldom, follows the overall trend steadily and takes more memory. "
     "auto takes what suits the memory there is; find doubles the batch while it fits and gets faster, measures "
     "each, shows them and takes the fastest; usual does so with 16, 32, 64, 128 and 256"},
    {"budget", 0, KEY, CLI_TYPE_SIZE, "SIZE", NULL, 1048576, 1125899906842624.0, NULL, TRAINS, FIELD(budget_bytes),
     "bytes that the run may use (4GiB), instead of what the computer or the device has left"},
    {"preset", 0, KEY, CLI_TYPE_CHOICE, "NAME", "none", 0, 0, presets, TRAINS, FIELD(preset),
     "values that suit a computer, for keys that are not given: laptop-16 (batch=8 validation_split=0.2 epochs=50) for "
     "one with 16 GB of RAM and no graphics card, laptop-32 (batch=16 validation_split=0.2 epochs=100) for 32 GB"},
    {"lr", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 1e-10, 1000, NULL, TRAINS, FIELD(learning_rate),
     "learning rate: how far one update moves the weights along the gradient. Too small learns slowly or "
     "stops midway, too large jumps over the minimum and the loss grows; 0.0001 to 0.1 is usual. "
     "By default 0.01 for sgd, momentum and nesterov, 0.001 for the others"},
    {"schedule", 0, KEY, CLI_TYPE_CHOICE, "NAME", "constant", 0, 0, schedules, TRAINS, FIELD(schedule),
     "how lr changes: constant; cosine falls to 0 along half a wave; exponential comes evenly to the share decay in "
     "every decay_epochs, step at once at their end, plateau after as many epochs without a better loss (of the "
     "validation, if there is one)"},
    {"warmup", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 0, MANY, NULL, TRAINS, FIELD(warmup),
     "updates over which lr first rises to its value, against large steps at the start (transformers)"},
    {"decay", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 1e-6, 1, NULL, TRAINS, FIELD(decay),
     "what schedule=exponential, step or plateau multiplies lr by; by default 0.9, 0.1 and 0.1"},
    {"decay_epochs", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 1, MANY, NULL, TRAINS, FIELD(decay_epochs),
     "after how many epochs; by default 1 for exponential, a third of all for step, 10 for plateau"},
    {"epochs", 0, KEY, CLI_TYPE_INTEGER, "N", "10", 1, MANY, NULL, TRAINS, FIELD(epochs),
     "passes over all training samples. Too few leave the model unfinished, too many let it "
     "learn the training samples by heart; watch the validation loss"},
    {"optimizer", 0, KEY, CLI_TYPE_CHOICE, "NAME", "adam", 0, 0, optimizers, TRAINS, FIELD(optimizer),
     "the way of updating: sgd takes a plain step down the gradient, momentum keeps some of the last step's "
     "speed, nesterov looks ahead with it; adagrad, rmsprop (often for recurrent networks), adam and adamw (adam "
     "with weight decay) give every weight its own step. None is best everywhere: try several"},
    {"momentum", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 1e-6, 0.9999, NULL, TRAINS, FIELD(momentum),
     "share of the last step's speed that optimizer=momentum or nesterov keeps; by default 0.9"},
    {"l1", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 1000, NULL, TRAINS, FIELD(l1),
     "penalty X times the sum of the weights' sizes (lasso; biases are left out): pushes weights that serve little to 0"},
    {"l2", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 1000, NULL, TRAINS, FIELD(l2),
     "penalty X times the sum of the weights' squares (ridge): keeps weights small; with l1 it is the elastic net"},
    {"proximal", 0, KEY, CLI_TYPE_CHOICE, "off|on", "off", 0, 0, offers, TRAINS, FIELD(proximal),
     "on: l1 cuts weights off after each step, so that many become exactly 0, instead of adding to the gradient"},
    {"weight_decay", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 1000, NULL, TRAINS, FIELD(weight_decay),
     "share of every weight (times lr) that each update takes away, beside the gradient; by default 0.004 for adamw"},
    {"clip", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 1e30, NULL, TRAINS, FIELD(clip_norm),
     "shortens the gradient of all weights together to length X where it is longer, against steps that jump far "
     "(recurrent networks); 1 is usual"},
    {"clip_value", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 1e30, NULL, TRAINS, FIELD(clip_value),
     "cuts every single number of the gradient off at -X and X"},
    {"ema", 0, KEY, CLI_TYPE_NUMBER, "X", NULL, 0, 0.999999, NULL, TRAINS, FIELD(ema),
     "evaluates and saves a moving average of the weights that keeps share X at each update: 0.999 smooths over "
     "a thousand updates"},
    {"accumulate", 0, KEY, CLI_TYPE_INTEGER, "N|auto", "auto", 1, MANY, automatic, TRAINS | CLI_VERB_BENCH, FIELD(accumulate),
     "splits a batch into N parts whose gradients are added up: the same update from less memory; N divides batch. "
     "auto splits where it is faster because a part stays in the processor's cache, or where the batch does not fit"},
    {"recompute", 0, KEY, CLI_TYPE_SHARE, "auto|off|N%", "auto", 1, 99, shares, TRAINS | CLI_VERB_BENCH, FIELD(recompute),
     "values of the forward pass are dropped and computed again in the backward pass, with the same result to the bit: "
     "N% brings the memory of a step to N percent of what it would be; auto does so where the batch does not fit"},
    {"placement", 0, KEY, CLI_TYPE_CHOICE, "quick|exhaustive", "quick", 0, 0, placements, TRAINS, FIELD(placement),
     "how hard the addresses of a step's values are searched for: exhaustive takes seconds for each batch and comes to "
     "the least that is possible in more cases; quick is within a thousandth as a rule"},
    {"validation_split", 0, KEY, CLI_TYPE_NUMBER, "X", "0", 0, 0.9, NULL, TRAINS, FIELD(validation_split),
     "the last share of the training samples, kept from training to judge each epoch"},
    {"seed", 0, KEY, CLI_TYPE_INTEGER, "N", "0", 0, 9007199254740992.0, NULL, TRAINS, FIELD(seed),
     "start of all random numbers; the same seed on the same device gives the same bits"},
    {"weights", 0, KEY, CLI_TYPE_TEXT, "FILE", NULL, 0, 0, NULL, CLI_VERB_TRAIN, FIELD(weights),
     "starts from the parameters in a .safetensors file, ours or PyTorch's (torchvision's models have its names)"},
    {"out", 0, KEY, CLI_TYPE_TEXT, "DIR", NULL, 0, 0, NULL, CLI_VERB_TRAIN, FIELD(out),
     "where the run is saved, a folder that does not exist yet; by default runs/MODEL-1, -2, ..."},
    {"memory_growth", 0, KEY, CLI_TYPE_CHOICE, "off|on", "off", 0, 0, offers, TRAINS, FIELD(memory_growth),
     "on: memory of the device is taken piece by piece, as the first step comes to need it; by default all is taken "
     "before the first step, so that running out is known then"},
    {"fallback", 0, KEY, CLI_TYPE_CHOICE, "on|off", "on", 0, 0, switches, RUNS, FIELD(fallback),
     "off: an operator that the device lacks, or a device that fails, is an error instead of going on on the CPU"},
    {"threads", 0, KEY, CLI_TYPE_INTEGER, "N", NULL, 1, 4096, NULL, RUNS | CLI_VERB_BENCH, FIELD(threads),
     "compute threads; by default the processors this process may use"},

    /* how it is run */
    {"device", 'd', FLAG, CLI_TYPE_TEXT, "NAME", "auto", 0, 0, NULL, RUNS, FIELD(device),
     "auto, cpu, cl:0, cl:1.0 (platform.device) or a part of its description: cl:radeon"},
    {"device", 'd', FLAG, CLI_TYPE_TEXT, "LIST", "cpu", 0, 0, NULL, CLI_VERB_BENCH, FIELD(device),
     "devices, separated by commas; all: every device there is"},
    {"batch", 'b', FLAG, CLI_TYPE_TEXT, "LIST", "32", 0, 0, NULL, CLI_VERB_BENCH, FIELD(batches),
     "batch sizes of a model, separated by commas"},
    {"mode", 'm', FLAG, CLI_TYPE_CHOICE, "train|infer", "train", 0, 0, modes, CLI_VERB_BENCH, FIELD(mode),
     "whole training steps or forward passes of a model"},
    {"profile", 0, FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, CLI_VERB_BENCH, FIELD(profile),
     "also the time of each operator in a step, and what that is of what the device can do at most"},
    {"compare", 0, FLAG, CLI_TYPE_TEXT, "FILE", NULL, 0, 0, NULL, CLI_VERB_BENCH, FIELD(compare),
     "an earlier 'burthen bench ... --json': shows its times beside these and their ratio"},
    {"measure", 0, FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, CLI_VERB_DEVICES, FIELD(measure),
     "measure arithmetic, memory and training speed of every device anew, and every class of kernels of the one that "
     "trains; --device auto goes by the speed, plan predicts times from the rest"},
    {"ram", 0, FLAG, CLI_TYPE_SIZE, "SIZE", NULL, 1048576, 1125899906842624.0, NULL, CLI_VERB_PLAN, FIELD(ram_bytes),
     "plan for this computer's processor with so much memory (16GiB) instead of what it has"},
    {"device-memory", 0, FLAG, CLI_TYPE_SIZE, "SIZE", NULL, 1048576, 1125899906842624.0, NULL, CLI_VERB_PLAN, FIELD(device_memory_bytes),
     "plan for a graphics card with so much memory (8GiB)"},
    {"verify", 0, FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, CLI_VERB_PLAN, FIELD(verify),
     "run a few real steps of the recommended, the fastest and any given batch: planned beside measured"},
    {"dry-run", 'n', FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, CLI_VERB_TRAIN, FIELD(dry_run),
     "show the plan and stop before anything is allocated or written"},

    /* how it is shown */
    {"output", 'o', FLAG, CLI_TYPE_CHOICE, "FORMAT", "table", 0, 0, formats, RESULTS, FIELD(format),
     "table, json, jsonl, csv or md; bytes and seconds are plain numbers except in table and md"},
    {"json", 0, FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, RESULTS, FIELD(json), "the same as -o json"},
    {"progress", 0, FLAG, CLI_TYPE_CHOICE, "MODE", "auto", 0, 0, progresses, CLI_VERB_TRAIN | CLI_VERB_BENCH, FIELD(progress),
     "auto, bar, plain (one line an epoch), json (one object a line) or none; on stderr"},
    {"quiet", 'q', FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, CLI_VERB_TRAIN | CLI_VERB_BENCH, FIELD(quiet),
     "the result only: no plan, no progress, no notes"},
    {"help", 'h', FLAG, CLI_TYPE_SWITCH, NULL, NULL, 0, 0, NULL, ANY, FIELD(help), "what the verb does and takes"},
    {0},
};
/* clang-format on */
