/** burthen/burthen.h: everything. */
#ifndef BURTHEN_BURTHEN_H
#define BURTHEN_BURTHEN_H

#include <burthen/backend.h>
#include <burthen/base.h>
#include <burthen/data.h>
#include <burthen/format.h>
#include <burthen/graph.h>
#include <burthen/nn.h>
#include <burthen/op.h>
#include <burthen/plan.h>
#include <burthen/run.h>
#include <burthen/tensor.h>
#include <burthen/train.h>
#include <burthen/walk.h>

#endif
