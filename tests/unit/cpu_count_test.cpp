// How many event loops a machine or a container has room for.

#include <pushhub/detail/cpu_count.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

#include "support/catch.hpp"

using namespace pushhub::detail;

TEST_CASE("At least one processor can be used, and no more than there are") {
    CHECK(usableCpus() >= 1);
    CHECK(usableCpus() <= (std::max)(std::thread::hardware_concurrency(), 1U));
}

#if defined(__linux__)

namespace {

// A directory that stands for the root of the file system.
class Root {
public:
    explicit Root(const std::vector<std::pair<std::string, std::string>>& files) {
        path_ = std::filesystem::temp_directory_path() /
                ("pushhub_cpu_count_" + std::to_string(::getpid()));
        for (const auto& [name, text] : files) {
            std::filesystem::create_directories((path_ / name).parent_path());
            std::ofstream(path_ / name) << text;
        }
    }
    ~Root() { std::filesystem::remove_all(path_); }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;

    unsigned quota() const { return cpuQuota(path_.string()); }

private:
    std::filesystem::path path_;
};

unsigned quotaOf(const std::vector<std::pair<std::string, std::string>>& files) {
    return Root(files).quota();
}

// In a container that sees its own group as the root.
unsigned quotaOfMax(const std::string& text) {
    return quotaOf({{"proc/self/cgroup", "0::/\n"}, {"sys/fs/cgroup/cpu.max", text}});
}

}  // namespace

TEST_CASE("A quota of version 2 is rounded up") {
    CHECK(quotaOfMax("100000 100000\n") == 1);
    CHECK(quotaOfMax("200000 100000\n") == 2);
    CHECK(quotaOfMax("150000 100000\n") == 2);
    CHECK(quotaOfMax("200001 100000\n") == 3);
    CHECK(quotaOfMax("1000 100000\n") == 1);
    CHECK(quotaOfMax("25000 50000") == 1);
}

TEST_CASE("What is no quota limits nothing") {
    for (const char* const text :
         {"max 100000\n", "max\n", "", "\n", "100000\n", "100000 0\n", "0 100000\n", "-1 100000\n",
          "a b\n", "100000 100000x\n", "99999999999999999999 100000\n", "1 2 3\n"}) {
        CAPTURE(text);
        CHECK(quotaOfMax(text) == 0);
    }
    CHECK(quotaOfMax("9223372036854775807 1\n") == 1'000'000);
    CHECK(quotaOf({}) == 0);
    CHECK(quotaOf({{"proc/self/cgroup", ""}}) == 0);
    CHECK(quotaOf({{"proc/self/cgroup", "0::/a\n"}}) == 0);
    CHECK(quotaOf({{"proc/self/cgroup", "no lines\n:\n::\n5:\n"}}) == 0);
}

TEST_CASE("The smallest quota on the way to the root counts") {
    const std::string self = "0::/kubepods.slice/pod1/box\n";
    const std::string groups = "sys/fs/cgroup/kubepods.slice";
    CHECK(quotaOf({{"proc/self/cgroup", self},
                   {groups + "/pod1/box/cpu.max", "max 100000\n"},
                   {groups + "/pod1/cpu.max", "300000 100000\n"},
                   {groups + "/cpu.max", "max 100000\n"}}) == 3);
    CHECK(quotaOf({{"proc/self/cgroup", self},
                   {groups + "/pod1/box/cpu.max", "200000 100000\n"},
                   {groups + "/pod1/cpu.max", "300000 100000\n"},
                   {groups + "/pod2/cpu.max", "100000 100000\n"}}) == 2);
    CHECK(quotaOf({{"proc/self/cgroup", self},
                   {groups + "/pod1/box/cpu.max", "200000 100000\n"},
                   {groups + "/cpu.max", "50000 100000\n"}}) == 1);
    // The host's path, of which the container sees only its own group.
    CHECK(quotaOf({{"proc/self/cgroup", self}, {"sys/fs/cgroup/cpu.max", "200000 100000\n"}}) == 2);
}

TEST_CASE("A group outside of the container is not looked up") {
    CHECK(quotaOf({{"proc/self/cgroup", "0::/../box\n"},
                   {"sys/fs/box/cpu.max", "100000 100000\n"},
                   {"sys/fs/cgroup/cpu.max", "200000 100000\n"}}) == 2);
    CHECK(quotaOf({{"proc/self/cgroup", "0::/a..b\n"},
                   {"sys/fs/cgroup/a..b/cpu.max", "100000 100000\n"}}) == 1);
}

TEST_CASE("A quota of version 1 counts as well") {
    const std::string self =
        "12:pids:/docker/1\n4:cpu,cpuacct:/docker/1\n2:cpuset:/docker/1\n0::/docker/1\n";
    const std::string cpu = "sys/fs/cgroup/cpu,cpuacct";
    CHECK(quotaOf({{"proc/self/cgroup", self},
                   {cpu + "/docker/1/cpu.cfs_quota_us", "250000\n"},
                   {cpu + "/docker/1/cpu.cfs_period_us", "100000\n"},
                   {cpu + "/cpu.cfs_quota_us", "-1\n"},
                   {cpu + "/cpu.cfs_period_us", "100000\n"}}) == 3);
    // As a container sees it, by the name of the link.
    CHECK(quotaOf({{"proc/self/cgroup", self},
                   {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n"},
                   {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}) == 2);
    CHECK(quotaOf({{"proc/self/cgroup", "1:cpu:/\n"},
                   {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                   {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}) == 0);
    // A hierarchy without the controller says nothing about it.
    CHECK(quotaOf({{"proc/self/cgroup", "1:cpuset:/\n"},
                   {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"},
                   {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}) == 0);
    // Both versions at once.
    CHECK(quotaOf({{"proc/self/cgroup", "1:cpu:/a\n0::/a\n"},
                   {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n"},
                   {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"},
                   {"sys/fs/cgroup/unified/a/cpu.max", "200000 100000\n"}}) == 2);
}

TEST_CASE("A thread that is bound to one processor uses one") {
    ::cpu_set_t before;
    REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
    ::cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    const unsigned bound = usableCpus();
    REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
    CHECK(bound == 1);
}

#endif
