/* train.h: what train and eval share: a run's settings as they stand in its config.json. */
#ifndef BUR_CLI_TRAIN_H
#define BUR_CLI_TRAIN_H

#include "model.h"
#include "output.h"

/* All that eval needs to build the model again. */
json_t *cli_config_json(const char *name, const cli_model *model, const char *data,
                        const bur_fit_options *options);

/* A mean loss and metric: {"loss", METRIC}. */
json_t *cli_score_json(double loss, double metric, const char *metric_name);

/* The most bytes that the run took: of the process for a device in host memory, else of the device.
 */
uint64_t cli_measured_peak_bytes(bur_device *device);

#endif
