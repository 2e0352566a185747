#include <pushhub/detail/rate_limiter.hpp>

#include <chrono>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using pushhub::detail::RateLimiter;

namespace {

// How many of one each come at `now`, one after the other, until the rate is reached.
int comeAt(RateLimiter& limiter, RateLimiter::TimePoint now, unsigned perSecond,
           RateLimiter::TimePoint::duration heldUp = {}) {
    int count = 0;
    for (; limiter.reached() <= now && count < 10'000; ++count) {
        limiter.count(now, 1, perSecond, heldUp);
    }
    return count;
}

}  // namespace

TEST_CASE("A second's worth may come at once, then the rate counts") {
    const RateLimiter::TimePoint start(1h);
    RateLimiter limiter;
    CHECK(limiter.reached() <= start);
    CHECK(comeAt(limiter, start, 10) == 11);  // the one that reaches the limit included
    CHECK(limiter.reached() == start + 100ms);
    CHECK(comeAt(limiter, start + 99ms, 10) == 0);
    CHECK(comeAt(limiter, start + 100ms, 10) == 1);
    CHECK(comeAt(limiter, start + 700ms, 10) == 6);
    CHECK(comeAt(limiter, start + 1h, 10) == 11);  // a long silence saves up no more
}

TEST_CASE("An amount counts as so many") {
    const RateLimiter::TimePoint start(1h);
    RateLimiter limiter;
    limiter.count(start, 1000, 1000);
    CHECK(limiter.reached() == start);
    limiter.count(start, 500, 1000);
    CHECK(limiter.reached() == start + 500ms);
}

TEST_CASE("After a pause of the loop so much more may come at once") {
    const RateLimiter::TimePoint start(1h);
    RateLimiter limiter;
    CHECK(comeAt(limiter, start, 10, 3s) == 41);
}
