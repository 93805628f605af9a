// Reduces rows of logits where a model left them: one block per predicted position.
//
// The same quantities as `signals` computes on the CPU, by the same definitions. With z the row, m its
// maximum and "before" meaning (descending logit, ascending id):
//
//   1. one pass over the row: m, the first id that is NaN or +inf, a histogram of the leading bits;
//   2. radix select: digit by digit until what is left at the threshold fits in shared memory; ids
//      are the low digits of the keys, so ties go to the lowest ids without a special case;
//   3. those candidates are collected and sorted;
//   4. sums over all ids but the SCORE_K best, which are added separately in f64, and over all but
//      the K best, so that the tail is a sum of its own terms; in the same pass, how many ids come
//      before the target;
//   5. one pass for each extra temperature;
//   6. draws: f32 sums of blocks of 64 in the CPU's order, their prefix sums in f64, one uniform per
//      draw, and individual terms only in the block that a uniform falls into.
//
// Individual terms are bit-identical to the CPU's (explicit fused operations, no contraction). Sums
// are made in a different order, in f64 above four terms. Nothing depends on the order of threads:
// atomics only count, take a minimum, or allocate slots in a list that is sorted afterwards.
//
// Plain CUDA C without warp intrinsics, so that a C compiler can build it for the CPU, with one
// thread for each CUDA thread, and compare its logic with the CPU kernel (tests/emulation.c).
// The block's width is a power of two from 32 to MAX_THREADS.

#ifdef __cplusplus
#define KERNEL extern "C" __global__ void __launch_bounds__(MAX_THREADS)
#define INLINE static __device__ __forceinline__
#else
#define KERNEL void
#define INLINE static inline
#endif

// A test keeps these equal to their namesakes in Rust.
#define MAX_THREADS 256
#define MAX_K 2048
#define SCORE_K 10
#define BLOCK 64
#define MAX_SUMMED_BLOCKS (3 * MAX_K)

// At most this many candidates are sorted rather than counted again.
#define SORT_AIM 1024
#define N_BINS 2048
#define LANES 16

#define EXP_LOWEST (-87.0f)
#define LARGEST __uint_as_float(0x7f7fffffu)
#define MINUS_INFINITY __uint_as_float(0xff800000u)
#define UNIFORM_STEP (1.0 / 9007199254740992.0)

#define F32 0
#define F16 1
#define BF16 2

#define NO_DEFECT 0
#define NOT_FINITE 1
#define ALL_MASKED 2
#define NO_ID 0xffffffffu

typedef unsigned int u32;
typedef unsigned long long u64;

struct Position {
    u64 seq_id;
    u32 row;       // of the logits: b * T + t
    u32 position;  // t, which keys the draws
    u32 target;
    u32 unused;
};

// Nats, and fractions in [0, 1]. With a defect only its code, id and value are meaningful.
struct Sums {
    double ln_sum;
    double entropy;
    double target_logprob;
    double tail_mass;
    double score_topk_mass;
    float max;
    u32 target_rank;
    u32 defect;
    u32 defect_id;
    float defect_value;
    u32 unused;
};

struct Reduction {
    const void *logits;               // [rows, stride]
    const struct Position *position_n;
    const float *inv_tau_x;
    struct Sums *sums_n;
    double *log_partition_nx;
    u32 *topk_id_nk;
    float *topk_shifted_nk;           // logits minus the maximum
    u32 *draw_nj;                     // ids, ascending, each as often as it was drawn
    u64 seed;
    float draw_inv_tau;
    u32 stride;
    u32 vocab_size;                   // at most the stride
    u32 top_k;                        // at most vocab_size and MAX_K
    u32 n_temperatures;
    u32 n_draws;                      // at most MAX_K
};

union Memory {
    struct {
        u64 keys[MAX_K];
        u32 histogram[N_BINS];
    } select;
    float block_sums[MAX_SUMMED_BLOCKS];
};

struct Shared {
    union Memory memory;
    double partials[MAX_THREADS];
    u32 counts[MAX_THREADS];
    u32 first_unusable;
    u32 n_collected;
    u32 bin;
    u32 n_before_bin;
};

// A row, and how its logits are read. `dtype` is a constant at every call.
struct Row {
    const void *logits;
    u64 start;
    u32 vocab_size;
    u32 dtype;
};

INLINE float from_half(u32 bits) {
    u32 sign = (bits & 0x8000u) << 16;
    u32 exponent = (bits >> 10) & 0x1fu;
    u32 fraction = bits & 0x3ffu;
    if (exponent == 0) {
        // Zeros and subnormals: exact multiples of 2^-24.
        float magnitude = (float)fraction * __uint_as_float(0x33800000u);
        return __uint_as_float(sign | __float_as_uint(magnitude));
    }
    u32 widened = exponent == 0x1fu ? 0xffu : exponent + 112u;
    return __uint_as_float(sign | (widened << 23) | (fraction << 13));
}

INLINE float logit(struct Row row, u32 id) {
    u64 at = row.start + id;
    if (row.dtype == F32) {
        return ((const float *)row.logits)[at];
    }
    u32 bits = ((const unsigned short *)row.logits)[at];
    return row.dtype == F16 ? from_half(bits) : __uint_as_float(bits << 16);
}

INLINE float logit_or_nothing(struct Row row, u32 id) {
    return id < row.vocab_size ? logit(row, id) : MINUS_INFINITY;
}

// Descending keys order ids by (descending logit, ascending id). Zeros of both signs tie.
INLINE u64 rank_key(float z, u32 id) {
    u32 bits = __float_as_uint(z + 0.0f);
    u32 rising = bits >> 31 ? ~bits : bits | 0x80000000u;
    return ((u64)rising << 32) | (u32)~id;
}

INLINE float greater(float a, float b) {
    return a > b ? a : b;
}

// Keeps -inf out of the product d * e^d: its e^d is 0, but -inf * 0 is NaN.
INLINE float shifted(float z, float max) {
    return greater(z - max, 2.0f * EXP_LOWEST);
}

INLINE float tempered(float z, float max, float inv_tau) {
    return greater((z - max) * inv_tau, 2.0f * EXP_LOWEST);
}

// e^d for d <= 0: range reduction and polynomial of Cephes' expf, as in signals/exp.rs.
INLINE float exp_lane(float d) {
    const float log2_e = __uint_as_float(0x3fb8aa3bu);
    const float ln_2_high = __uint_as_float(0x3f317218u);
    const float ln_2_low = -1.9046543e-9f;
    const float round = 12582912.0f;
    float clamped = greater(d, EXP_LOWEST);
    float rounded = fmaf(clamped, log2_e, round);
    float n = rounded - round;
    float r = fmaf(n, -ln_2_low, fmaf(n, -ln_2_high, clamped));
    float p = 1.9875691e-4f;
    p = fmaf(p, r, 1.3982e-3f);
    p = fmaf(p, r, 8.333452e-3f);
    p = fmaf(p, r, 4.1665796e-2f);
    p = fmaf(p, r, 1.6666665e-1f);
    p = fmaf(p, r, 0.5f);
    float e = fmaf(p, r * r, r) + 1.0f;
    float power = __uint_as_float((__float_as_uint(rounded) - (__float_as_uint(round) - 127u)) << 23);
    return d > EXP_LOWEST ? e * power : 0.0f;
}

INLINE double block_sum(struct Shared *shared, double value) {
    u32 tid = threadIdx.x;
    shared->partials[tid] = value;
    __syncthreads();
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        if (tid < half) {
            shared->partials[tid] += shared->partials[tid + half];
        }
        __syncthreads();
    }
    double sum = shared->partials[0];
    __syncthreads();
    return sum;
}

INLINE float block_max(struct Shared *shared, float value) {
    u32 tid = threadIdx.x;
    shared->partials[tid] = value;
    __syncthreads();
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        if (tid < half && shared->partials[tid + half] > shared->partials[tid]) {
            shared->partials[tid] = shared->partials[tid + half];
        }
        __syncthreads();
    }
    double max = shared->partials[0];
    __syncthreads();
    return (float)max;
}

INLINE u32 block_count(struct Shared *shared, u32 value) {
    u32 tid = threadIdx.x;
    shared->counts[tid] = value;
    __syncthreads();
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        if (tid < half) {
            shared->counts[tid] += shared->counts[tid + half];
        }
        __syncthreads();
    }
    u32 sum = shared->counts[0];
    __syncthreads();
    return sum;
}

INLINE void clear_histogram(struct Shared *shared) {
    for (u32 bin = threadIdx.x; bin < N_BINS; bin += blockDim.x) {
        shared->memory.select.histogram[bin] = 0;
    }
    __syncthreads();
}

// The bin of the `wanted`-th key, counting from the histogram's highest bin.
INLINE void find_bin(struct Shared *shared, u32 wanted) {
    u32 tid = threadIdx.x;
    u32 n_bins = N_BINS / blockDim.x;
    const u32 *histogram = shared->memory.select.histogram;
    u32 count = 0;
    for (u32 i = 0; i < n_bins; i++) {
        count += histogram[tid * n_bins + i];
    }
    shared->counts[tid] = count;
    __syncthreads();
    if (tid == 0) {
        u32 before = 0;
        u32 run = blockDim.x - 1;
        while (run > 0 && before + shared->counts[run] < wanted) {
            before += shared->counts[run--];
        }
        u32 bin = run * n_bins + n_bins - 1;
        while (bin > run * n_bins && before + histogram[bin] < wanted) {
            before += histogram[bin--];
        }
        shared->bin = bin;
        shared->n_before_bin = before;
    }
    __syncthreads();
}

// Returns the maximum; leaves the first unusable id and a histogram of the keys' leading 11 bits in
// shared memory.
INLINE float scan(struct Shared *shared, struct Row row) {
    float max = MINUS_INFINITY;
    if (threadIdx.x == 0) {
        shared->first_unusable = NO_ID;
    }
    clear_histogram(shared);
    for (u32 id = threadIdx.x; id < row.vocab_size; id += blockDim.x) {
        float z = logit(row, id);
        // An ordered comparison, which is false for NaN and for +inf alike.
        if (!(z <= LARGEST)) {
            atomicMin(&shared->first_unusable, id);
        }
        max = greater(z, max);
        atomicAdd(&shared->memory.select.histogram[rank_key(z, id) >> 53], 1u);
    }
    return block_max(shared, max);
}

// A threshold that between `wanted` and max(wanted, SORT_AIM) keys reach. On entry the histogram
// holds the counts of the leading digit.
INLINE u64 threshold(struct Shared *shared, struct Row row, u32 wanted) {
    const u32 shifts[6] = {53, 42, 32, 21, 10, 0};
    const u32 limit = wanted > SORT_AIM ? wanted : SORT_AIM;
    u64 prefix = 0;
    u32 n_before = 0;
    u32 digit = 0;
    while (1) {
        find_bin(shared, wanted - n_before);
        n_before += shared->n_before_bin;
        u32 width = digit == 0 ? 11 : shifts[digit - 1] - shifts[digit];
        prefix = (prefix << width) | shared->bin;
        u32 n_left = shared->memory.select.histogram[shared->bin];
        if (n_before + n_left <= limit || digit == 5) {
            break;
        }
        digit++;
        __syncthreads();
        clear_histogram(shared);
        u32 above = shifts[digit - 1];
        u32 shift = shifts[digit];
        u32 mask = (1u << (above - shift)) - 1u;
        for (u32 id = threadIdx.x; id < row.vocab_size; id += blockDim.x) {
            u64 key = rank_key(logit(row, id), id);
            if (key >> above == prefix) {
                atomicAdd(&shared->memory.select.histogram[(u32)(key >> shift) & mask], 1u);
            }
        }
        __syncthreads();
    }
    __syncthreads();
    return prefix << shifts[digit];
}

// Bitonic, descending. `length` is a power of two.
INLINE void sort_falling(u64 *keys, u32 length) {
    for (u32 run = 2; run <= length; run *= 2) {
        for (u32 gap = run / 2; gap > 0; gap /= 2) {
            for (u32 i = threadIdx.x; i < length / 2; i += blockDim.x) {
                u32 low = 2 * gap * (i / gap) + i % gap;
                u64 a = keys[low];
                u64 b = keys[low + gap];
                int falls = (low & run) == 0;
                if ((a < b) == falls) {
                    keys[low] = b;
                    keys[low + gap] = a;
                }
            }
            __syncthreads();
        }
    }
}

// Sorts the first `n` keys in descending order; 0 is below every key.
INLINE void pad_and_sort(u64 *keys, u32 n) {
    u32 length = 2;
    while (length < n) {
        length *= 2;
    }
    for (u32 i = n + threadIdx.x; i < length; i += blockDim.x) {
        keys[i] = 0;
    }
    __syncthreads();
    sort_falling(keys, length);
}

// Leaves at least the best `wanted` keys, sorted, in shared memory.
INLINE void rank_best(struct Shared *shared, struct Row row, u32 wanted) {
    u64 *keys = shared->memory.select.keys;
    u64 lowest = threshold(shared, row, wanted);
    if (threadIdx.x == 0) {
        shared->n_collected = 0;
    }
    __syncthreads();
    for (u32 id = threadIdx.x; id < row.vocab_size; id += blockDim.x) {
        u64 key = rank_key(logit(row, id), id);
        if (key >= lowest) {
            keys[atomicAdd(&shared->n_collected, 1u)] = key;
        }
    }
    __syncthreads();
    pad_and_sort(keys, shared->n_collected);
}

INLINE u32 id_of(u64 key) {
    return ~(u32)key;
}

// Every sum that needs the ranked keys, and the target's rank. The sums treat the SCORE_K best ids
// separately whatever K is, so only the tail depends on K.
INLINE void sum_row(struct Shared *shared, struct Row row, float max, u32 top_k, u32 target,
                    struct Sums *sums) {
    const u64 *keys = shared->memory.select.keys;
    const u32 n_apart = SCORE_K < row.vocab_size ? SCORE_K : row.vocab_size;
    const u64 last_apart = keys[n_apart - 1];
    const u64 last_kept = top_k > 0 ? keys[top_k - 1] : ~0ull;
    const float z_target = logit(row, target);
    const u64 target_key = rank_key(z_target, target);
    double outside = 0.0;
    double weighted = 0.0;
    double tail = 0.0;
    u32 n_before_target = 0;
    for (u32 first = threadIdx.x; first < row.vocab_size; first += 4 * blockDim.x) {
        float d[4];
        float e[4];
        float not_kept[4];
        for (u32 i = 0; i < 4; i++) {
            u32 id = first + i * blockDim.x;
            float z = logit_or_nothing(row, id);
            u64 key = rank_key(z, id);
            d[i] = shifted(z, max);
            float term = exp_lane(d[i]);
            e[i] = key < last_apart ? term : 0.0f;
            not_kept[i] = key < last_kept ? term : 0.0f;
            n_before_target += id < row.vocab_size && key > target_key;
        }
        outside += (double)((e[0] + e[1]) + (e[2] + e[3]));
        weighted += (double)(fmaf(d[1], e[1], d[0] * e[0]) + fmaf(d[3], e[3], d[2] * e[2]));
        tail += (double)((not_kept[0] + not_kept[1]) + (not_kept[2] + not_kept[3]));
    }
    double apart = 0.0;
    double dropped = 0.0;
    if (threadIdx.x < n_apart) {
        double d = (double)(logit(row, id_of(keys[threadIdx.x])) - max);
        apart = exp(d);
        dropped = threadIdx.x < top_k ? 0.0 : apart;
        weighted += apart > 0.0 ? d * apart : 0.0;
    }
    u32 target_rank = block_count(shared, n_before_target);
    outside = block_sum(shared, outside);
    weighted = block_sum(shared, weighted);
    tail = block_sum(shared, tail);
    apart = block_sum(shared, apart);
    dropped = block_sum(shared, dropped);
    tail = top_k > n_apart ? tail : outside + dropped;
    double sum = apart + outside;
    double ln_sum = log(sum);
    double entropy = ln_sum - weighted / sum;
    sums->ln_sum = ln_sum;
    // Rounding can make the entropy of a point mass slightly negative, or a fraction slightly above one.
    sums->entropy = entropy > 0.0 ? entropy : 0.0;
    sums->target_logprob = (double)(z_target - max) - ln_sum;
    sums->tail_mass = tail < sum ? tail / sum : 1.0;
    sums->score_topk_mass = apart / sum;
    sums->max = max;
    sums->target_rank = target_rank;
    sums->defect = NO_DEFECT;
}

INLINE double tempered_sum(struct Shared *shared, struct Row row, float max, float inv_tau) {
    double sum = 0.0;
    for (u32 first = threadIdx.x; first < row.vocab_size; first += 4 * blockDim.x) {
        float e[4];
        for (u32 i = 0; i < 4; i++) {
            e[i] = exp_lane(tempered(logit_or_nothing(row, first + i * blockDim.x), max, inv_tau));
        }
        sum += (double)((e[0] + e[1]) + (e[2] + e[3]));
    }
    return block_sum(shared, sum);
}

// f32 sums of blocks of 64 terms, added in the order of signals/exp.rs: 16 lanes of four, then the
// lanes by halves.
INLINE void sum_blocks(struct Shared *shared, struct Row row, float max, float inv_tau) {
    float *lanes = (float *)shared->counts;
    u32 lane = threadIdx.x % LANES;
    u32 n_blocks = (row.vocab_size + BLOCK - 1) / BLOCK;
    u32 n_at_once = blockDim.x / LANES;
    for (u32 first = 0; first < n_blocks; first += n_at_once) {
        u32 block = first + threadIdx.x / LANES;
        float e[4];
        for (u32 i = 0; i < 4; i++) {
            u32 id = block * BLOCK + i * LANES + lane;
            e[i] = exp_lane(tempered(logit_or_nothing(row, id), max, inv_tau));
        }
        lanes[threadIdx.x] = (e[0] + e[1]) + (e[2] + e[3]);
        __syncthreads();
        for (u32 half = LANES / 2; half > 0; half /= 2) {
            if (lane < half) {
                lanes[threadIdx.x] += lanes[threadIdx.x + half];
            }
            __syncthreads();
        }
        if (lane == 0 && block < n_blocks) {
            shared->memory.block_sums[block] = lanes[threadIdx.x];
        }
        __syncthreads();
    }
}

// Philox4x32-10 (Salmon et al., SC 2011).
INLINE void philox(u32 key[2], u32 words[4]) {
    for (u32 i = 0; i < 10; i++) {
        u64 a = (u64)words[0] * 0xd2511f53u;
        u64 c = (u64)words[2] * 0xcd9e8d57u;
        words[0] = (u32)(c >> 32) ^ words[1] ^ key[0];
        words[1] = (u32)c;
        words[2] = (u32)(a >> 32) ^ words[3] ^ key[1];
        words[3] = (u32)a;
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
}

// The draw_idx-th uniform of a position, in [0, 1); there are two per counter.
INLINE double uniform(u64 seed, const struct Position *position, u32 draw_idx) {
    u32 key[2] = {(u32)seed, (u32)(seed >> 32)};
    u32 words[4] = {(u32)position->seq_id, (u32)(position->seq_id >> 32), position->position, draw_idx / 2};
    philox(key, words);
    u32 low = draw_idx % 2 ? words[2] : words[0];
    u32 high = draw_idx % 2 ? words[3] : words[1];
    u64 bits = ((u64)high << 32) | low;
    return (double)(bits >> 11) * UNIFORM_STEP;
}

// The id whose term spans `level`, in a block that begins at `before`.
INLINE u32 pick_in_block(struct Row row, float max, float inv_tau, u32 block, double before, double level) {
    u32 start = block * BLOCK;
    u32 picked = start;
    double cumulated = before;
    for (u32 id = start; id < start + BLOCK && id < row.vocab_size; id++) {
        float term = exp_lane(tempered(logit(row, id), max, inv_tau));
        // If rounding leaves a remainder of the level at the end of a block, the last term gets it.
        if (term > 0.0f) {
            picked = id;
            if (cumulated + (double)term > level) {
                break;
            }
        }
        cumulated += (double)term;
    }
    return picked;
}

// Thread i accumulates a run of blocks; `partials[i]` is the sum up to and including its run.
INLINE void cumulate_runs(struct Shared *shared, u32 n_blocks, u32 run) {
    double sum = 0.0;
    for (u32 block = threadIdx.x * run; block < (threadIdx.x + 1) * run && block < n_blocks; block++) {
        sum += (double)shared->memory.block_sums[block];
    }
    shared->partials[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (u32 i = 1; i < blockDim.x; i++) {
            shared->partials[i] += shared->partials[i - 1];
        }
    }
    __syncthreads();
}

INLINE u32 pick(const struct Shared *shared, struct Row row, float max, float inv_tau, u32 run, double level) {
    u32 low = 0;
    u32 high = blockDim.x - 1;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (shared->partials[middle] > level) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    double before = low > 0 ? shared->partials[low - 1] : 0.0;
    double cumulated = before;
    u32 n_blocks = (row.vocab_size + BLOCK - 1) / BLOCK;
    u32 found = low * run;
    for (u32 block = low * run; block < (low + 1) * run && block < n_blocks; block++) {
        float sum = shared->memory.block_sums[block];
        if (sum > 0.0f) {
            found = block;
            before = cumulated;
        }
        cumulated += (double)sum;
        if (cumulated > level) {
            break;
        }
    }
    return pick_in_block(row, max, inv_tau, found, before, level);
}

// Writes the ids to `draw_j`, sorted.
INLINE void draw(struct Shared *shared, struct Row row, float max, struct Reduction r,
                 const struct Position *position, u32 *draw_j) {
    u64 *keys = shared->memory.select.keys;
    u32 n_blocks = (row.vocab_size + BLOCK - 1) / BLOCK;
    u32 run = (n_blocks + blockDim.x - 1) / blockDim.x;
    sum_blocks(shared, row, max, r.draw_inv_tau);
    cumulate_runs(shared, n_blocks, run);
    double total = shared->partials[blockDim.x - 1];
    double last = __longlong_as_double(__double_as_longlong(total) - 1);
    for (u32 j = threadIdx.x; j < r.n_draws; j += blockDim.x) {
        double level = uniform(r.seed, position, j) * total;
        draw_j[j] = pick(shared, row, max, r.draw_inv_tau, run, level < last ? level : last);
    }
    __syncthreads();
    // Each thread reads back only what it wrote; the block sums are no longer needed.
    for (u32 j = threadIdx.x; j < r.n_draws; j += blockDim.x) {
        keys[j] = ~(u64)draw_j[j];
    }
    __syncthreads();
    pad_and_sort(keys, r.n_draws);
    for (u32 j = threadIdx.x; j < r.n_draws; j += blockDim.x) {
        draw_j[j] = id_of(keys[j]);
    }
}

INLINE void write_topk(const struct Shared *shared, struct Row row, float max, struct Reduction r, u64 n) {
    for (u32 i = threadIdx.x; i < r.top_k; i += blockDim.x) {
        u32 id = id_of(shared->memory.select.keys[i]);
        r.topk_id_nk[n * r.top_k + i] = id;
        r.topk_shifted_nk[n * r.top_k + i] = logit(row, id) - max;
    }
}

INLINE void report_defect(struct Sums *sums, u32 defect, u32 id, float value) {
    sums->defect = defect;
    sums->defect_id = id;
    sums->defect_value = value;
}

INLINE void reduce(struct Shared *shared, struct Reduction r, u32 dtype) {
    const u64 n = blockIdx.x;
    const struct Position position = r.position_n[n];
    const struct Row row = {r.logits, (u64)position.row * r.stride, r.vocab_size, dtype};
    const float max = scan(shared, row);
    if (shared->first_unusable != NO_ID || max == MINUS_INFINITY) {
        if (threadIdx.x == 0 && shared->first_unusable != NO_ID) {
            u32 id = shared->first_unusable;
            report_defect(&r.sums_n[n], NOT_FINITE, id, logit(row, id));
        } else if (threadIdx.x == 0) {
            report_defect(&r.sums_n[n], ALL_MASKED, 0, max);
        }
        return;
    }
    u32 wanted = r.top_k > SCORE_K ? r.top_k : SCORE_K;
    wanted = wanted < r.vocab_size ? wanted : r.vocab_size;
    struct Sums sums = {0};
    rank_best(shared, row, wanted);
    sum_row(shared, row, max, r.top_k, position.target, &sums);
    write_topk(shared, row, max, r, n);
    for (u32 x = 0; x < r.n_temperatures; x++) {
        float inv_tau = r.inv_tau_x[x];
        double sum = tempered_sum(shared, row, max, inv_tau);
        if (threadIdx.x == 0) {
            r.log_partition_nx[n * r.n_temperatures + x] = log(sum) - sums.ln_sum * (double)inv_tau;
        }
    }
    if (threadIdx.x == 0) {
        r.sums_n[n] = sums;
    }
    __syncthreads();
    if (r.n_draws > 0) {
        draw(shared, row, max, r, &position, r.draw_nj + n * r.n_draws);
    }
}

KERNEL reduce_f32(struct Reduction r) {
    __shared__ struct Shared shared;
    reduce(&shared, r, F32);
}

KERNEL reduce_f16(struct Reduction r) {
    __shared__ struct Shared shared;
    reduce(&shared, r, F16);
}

KERNEL reduce_bf16(struct Reduction r) {
    __shared__ struct Shared shared;
    reduce(&shared, r, BF16);
}
