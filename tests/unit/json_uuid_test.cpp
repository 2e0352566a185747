#include <pushhub/json/uuid.hpp>

#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

#if __has_include(<sys/wait.h>)
#include <sys/wait.h>
#include <unistd.h>
#endif

using pushhub::json::uuidV4;

TEST_CASE("a UUID has the form, the version and the variant of RFC 9562") {
    std::set<char> variants;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = uuidV4();
        REQUIRE(id.size() == 36);
        for (std::size_t p = 0; p < id.size(); ++p) {
            INFO(id << " at " << p);
            if (p == 8 || p == 13 || p == 18 || p == 23) {
                REQUIRE(id[p] == '-');
            } else {
                REQUIRE(std::string("0123456789abcdef").find(id[p]) != std::string::npos);
            }
        }
        REQUIRE(id[14] == '4');
        variants.insert(id[19]);
    }
    CHECK(variants == std::set<char>{'8', '9', 'a', 'b'});
}

TEST_CASE("all 122 free bits of a UUID vary") {
    constexpr int count = 2000;
    std::array<int, 128> ones{};
    for (int i = 0; i < count; ++i) {
        std::size_t bit = 0;
        for (const char c : uuidV4()) {
            if (c == '-') {
                continue;
            }
            const int nibble = c <= '9' ? c - '0' : c - 'a' + 10;
            for (int mask = 8; mask != 0; mask /= 2) {
                ones[bit++] += (nibble & mask) != 0 ? 1 : 0;
            }
        }
        REQUIRE(bit == ones.size());
    }
    // 6 standard deviations either side of one half: by chance less than once in a million runs.
    constexpr int margin = 135;
    for (std::size_t bit = 0; bit < ones.size(); ++bit) {
        INFO("bit " << bit << " was set " << ones[bit] << " times of " << count);
        switch (bit) {
            case 48:
            case 50:
            case 51:
            case 65:
                CHECK(ones[bit] == 0);
                break;
            case 49:
            case 64:
                CHECK(ones[bit] == count);
                break;
            default:
                CHECK(ones[bit] > count / 2 - margin);
                CHECK(ones[bit] < count / 2 + margin);
        }
    }
}

TEST_CASE("UUIDs from several threads are all different") {
    constexpr std::size_t threadCount = 4;
    constexpr std::size_t each = 5000;
    std::vector<std::vector<std::string>> made(threadCount);
    std::vector<std::thread> threads;
    for (auto& mine : made) {
        threads.emplace_back([&mine] {
            for (std::size_t i = 0; i < each; ++i) {
                mine.push_back(uuidV4());
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    std::set<std::string> all;
    for (const auto& mine : made) {
        all.insert(mine.begin(), mine.end());
    }
    CHECK(all.size() == threadCount * each);
}

#if __has_include(<sys/wait.h>)
TEST_CASE("a forked child makes other UUIDs than its parent") {
    constexpr std::size_t each = 40;
    uuidV4();  // so that there is something the child could repeat
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::string made;
        for (std::size_t i = 0; i < each; ++i) {
            made += uuidV4();
        }
        const bool written =
            ::write(ends[1], made.data(), made.size()) == static_cast<ssize_t>(made.size());
        ::_exit(written ? 0 : 1);
    }
    ::close(ends[1]);
    std::set<std::string> all;
    for (std::size_t i = 0; i < each; ++i) {
        all.insert(uuidV4());
    }
    std::string made(each * 36, ' ');
    std::size_t got = 0;
    for (ssize_t n = 1; n > 0 && got < made.size(); got += static_cast<std::size_t>(n)) {
        n = ::read(ends[0], &made[got], made.size() - got);
        REQUIRE(n >= 0);
    }
    ::close(ends[0]);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    REQUIRE(got == made.size());
    for (std::size_t i = 0; i < each; ++i) {
        all.insert(made.substr(i * 36, 36));
    }
    CHECK(all.size() == 2 * each);
}
#endif
