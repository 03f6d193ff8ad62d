/* Recurrent networks for sequences of vectors: layers of one kind on each other, the class or the
 * values from the last state. */
#include "zoo.h"

static bur_status add_layers(bur_sequential *s, const bur_zoo_options *options, bur_layer layer)
{
    const char *at = options->hidden == NULL ? "128" : options->hidden;
    while (*at != '\0') {
        int32_t units = 0;
        BUR_TRY(bur__zoo_next_units(&at, &units));
        layer.units = bur__zoo_scaled(options, units);
        layer.return_sequences = *at != '\0';
        BUR_TRY(bur_sequential_add(s, &layer));
    }
    return bur__zoo_add_head(s, options);
}

bur_status bur__zoo_rnn(bur_sequential *s, const bur_zoo_options *options)
{
    return add_layers(s, options, bur_simple_rnn(0));
}

bur_status bur__zoo_lstm(bur_sequential *s, const bur_zoo_options *options)
{
    return add_layers(s, options, bur_lstm(0));
}

bur_status bur__zoo_gru(bur_sequential *s, const bur_zoo_options *options)
{
    return add_layers(s, options, bur_gru(0));
}
