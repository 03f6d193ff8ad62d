/* A graph's insides, for core/graph, core/plan and core/run. */
#ifndef BUR_GRAPH_GRAPH_H
#define BUR_GRAPH_GRAPH_H

#include <burthen/graph.h>

typedef enum bur_graph_value_kind {
    GRAPH_TEMPORARY, /* lives within the step: in the arena */
    GRAPH_SCALARS,   /* the rest outlive it */
    GRAPH_TOTALS,
    GRAPH_INPUT, /* written before the step, in the arena from its start */
    GRAPH_TARGET,
    GRAPH_PARAMETER,
    GRAPH_AVERAGE,  /* moving average of a parameter */
    GRAPH_STATE,    /* optimizer state */
    GRAPH_GRADIENT, /* a gradient added up over micro-batches */
    GRAPH_WEIGHTS,  /* of the classes, written when a session is made */
} bur_graph_value_kind;

typedef struct bur_graph_value {
    bur_graph_value_kind kind;
    bur_desc desc;
    int32_t parameter; /* of parameters, states, gradients; -1 */
    int32_t slot;      /* of states */
    int32_t producer;  /* node, -1 if none */
    int32_t memory;    /* the value whose memory this one shares (itself if none) */
    bool is_parameter_gradient;
} bur_graph_value;

typedef struct bur_graph_node {
    bur_op op;
    bur_attr attr;
    int32_t first_input, n_inputs;   /* in graph->inputs */
    int32_t first_output, n_outputs; /* values follow each other */
    int32_t recipe_node;             /* -1: loss, totals, optimizer */
    bool update;                     /* in the update list */
} bur_graph_node;

struct bur_graph {
    bur_context *context;
    const bur_recipe *recipe;
    bur_graph_options options;
    bur_graph_value *values;
    bur_graph_node *nodes;
    int32_t *inputs;
    int32_t n_values, n_nodes, n_inputs;
    int32_t value_room, node_room, input_room;
    int32_t n_forward;         /* nodes up to the loss; the rest are gradients and updates */
    int32_t n_recomputed;      /* nodes that compute a forward value once more */
    double recomputed_share;   /* of the step's work */
    bool early_update;         /* gradients are read by the optimizer alone, within the pass */
    int32_t recipe_node;       /* the node being emitted or differentiated */
    int32_t recipe_parameters; /* how many the recipe has */

    int32_t scalars, totals, x, target, weights, output, result; /* values; -1 if absent */
    int32_t
        *parameters; /* value of each parameter, outside of training of its average if it has one */
    int32_t *averages;  /* value of each parameter's average, -1 */
    int32_t *gradients; /* value of each parameter's gradient, -1 */
};

/* Appends a value, a run of inputs, or a node; a node's outputs are inferred and appended. */
bur_status bur__graph_add_value(bur_graph *graph, bur_graph_value_kind kind, const bur_desc *desc,
                                int32_t *out);
bur_status bur__graph_add_inputs(bur_graph *graph, const int32_t *inputs, int32_t count,
                                 int32_t *first);
bur_status bur__graph_add_node(bur_graph *graph, bur_op op, const bur_attr *attr,
                               const int32_t *inputs, int32_t n_inputs, int32_t n_outputs,
                               int32_t *first_output);

/* The passes, in this order. */
bur_status bur__graph_forward(bur_graph *graph);       /* recipe -> nodes */
bur_status bur__graph_fuse(bur_graph *graph);          /* fused rows for sequences of rows */
bur_status bur__graph_loss(bur_graph *graph);          /* loss and totals */
bur_status bur__graph_differentiate(bur_graph *graph); /* gradients of the parameters */
bur_status bur__graph_update(bur_graph *graph);        /* accumulation and optimizer */
bur_status bur__graph_hoist(bur_graph *graph, int32_t first_row); /* rows into the backward */
bur_status bur__graph_recompute(bur_graph *graph); /* forward values dropped, made again */
bur_status bur__graph_share(bur_graph *graph);     /* views and in-place results */

/* The nodes between which each value's memory is live, for values that are their own memory: from
 * the node that writes it (0 for what is written before the step) to the last that reads it, or
 * n_nodes if it is read after the step. Others are left alone. */
void bur__graph_lifetimes(const bur_graph *graph, int32_t *first, int32_t *last);

const char *bur__graph_layer(const bur_graph *graph, int32_t node);

/* At least 1. */
int32_t bur__graph_most_inputs(const bur_graph *graph);

/* Descriptions of a node's inputs and outputs as a call; both arrays have room for all of them. */
bur_call bur__graph_call(const bur_graph *graph, int32_t node, bur_desc *inputs, bur_desc *outputs);

#endif
