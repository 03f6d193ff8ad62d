/* report.h: what several verbs show of plans, devices and epochs. */
#ifndef BUR_CLI_REPORT_H
#define BUR_CLI_REPORT_H

#include "cli.h"
#include "output.h"

/* {"parameters": ..., ...}, one entry per class of bytes. */
json_t *cli_bytes_json(const uint64_t *bytes);
/* A whole run plan as it stands in plan.json. */
json_t *cli_run_plan_json(const bur_run_plan *plan);
/* The plan in two lines for people: need, budget and what binds; bytes by class. `is_host`: the
 * device's memory is the computer's, so that all bytes count against one budget. */
void cli_run_plan_text(char *text, size_t size, const bur_run_plan *plan, bool is_host);
/* The five largest classes of bytes, and the rest in one number. */
void cli_bytes_text_by_class(char *text, size_t size, const uint64_t *bytes);

json_t *cli_device_json(const bur_device_info *info);
/* One epoch of a history; `metric` is "accuracy" or "mae". */
json_t *cli_epoch_json(const bur_epoch *epoch, const char *metric);

/* "off" or "60%". */
json_t *cli_recompute_json(float share);
enum { CLI_LEVERS_TEXT = 160 };
/* "in 4 parts, 12% of the work done twice"; "" for a plan without either. */
void cli_levers_text(char *text, size_t size, const bur_run_plan *plan);

/* The refusal of a plan that does not fit: both numbers and the largest classes. */
int cli_refuse_plan(const bur_run_plan *plan, bool is_host);

#endif
