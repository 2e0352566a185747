// Two translation units with all headers, linked into one program: what is not inline in a header
// is defined twice, and what should be one object must not become two.

#include "odr.hpp"

#include "support/catch.hpp"

TEST_CASE("two translation units share what the headers define") {
    CHECK(odr::second::facts().category == odr::facts().category);
    CHECK(odr::second::facts().jsonCategory == odr::facts().jsonCategory);
    CHECK(odr::second::facts().version == odr::facts().version);
    CHECK(odr::second::facts().hubSize == odr::facts().hubSize);
}
