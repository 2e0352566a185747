#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#if defined(__linux__)
#include <sched.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <system_error>
#endif

namespace pushhub::detail {

#if defined(__linux__)

/// The first `size` bytes of a file of the kernel, empty if it cannot be read.
inline std::string readKernelFile(const std::string& path, std::size_t size) {
    struct Close {
        void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
    };
    const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "re"));
    std::string text(file ? size : 0, '\0');
    text.resize(file ? std::fread(text.data(), 1, size, file.get()) : 0);
    return text;
}

/// Removes the text up to `end` from `rest` and returns it.
inline std::string_view takeUntil(std::string_view& rest, char end) noexcept {
    const std::string_view text = rest.substr(0, rest.find(end));
    rest.remove_prefix((std::min)(text.size() + 1, rest.size()));
    return text;
}

/// Processors that `quota` microseconds in each `period` are worth, rounded up; 0: no limit, which
/// is written `max` or -1.
inline unsigned cpusOfQuota(std::string_view quota, std::string_view period) noexcept {
    const auto number = [](std::string_view text) {
        std::int64_t value = 0;
        const auto end = text.data() + text.size();
        const auto result = std::from_chars(text.data(), end, value);
        return result.ec == std::errc() && result.ptr == end ? value : 0;
    };
    const std::int64_t time = number(quota);
    const std::int64_t each = number(period);
    if (time <= 0 || each <= 0) {
        return 0;
    }
    constexpr std::int64_t many = 1'000'000;
    return static_cast<unsigned>((std::min)(time / each + (time % each != 0 ? 1 : 0), many));
}

inline unsigned smallerLimit(unsigned a, unsigned b) noexcept {
    return a == 0 || b == 0 ? (std::max)(a, b) : (std::min)(a, b);
}

/// The CPU limit of the control group at `path`, of those above it and of `mount` itself. Groups
/// that this container does not see are skipped.
inline unsigned cpuLimitOfGroup(const std::string& mount, std::string_view path) {
    unsigned limit = 0;
    if ((std::string(path) + '/').find("/../") != std::string::npos) {
        path = {};  // outside of what is mounted
    }
    for (;;) {
        while (!path.empty() && path.back() == '/') {
            path.remove_suffix(1);
        }
        constexpr std::size_t size = 64;
        const std::string group = mount + std::string(path);
        const std::string version2 = readKernelFile(group + "/cpu.max", size);
        std::string_view line = version2;
        line = takeUntil(line, '\n');
        const std::string_view quota = takeUntil(line, ' ');
        limit = smallerLimit(limit, cpusOfQuota(quota, line));

        const std::string quota1 = readKernelFile(group + "/cpu.cfs_quota_us", size);
        const std::string period1 = readKernelFile(group + "/cpu.cfs_period_us", size);
        std::string_view quotaLine = quota1;
        std::string_view periodLine = period1;
        limit = smallerLimit(limit,
                             cpusOfQuota(takeUntil(quotaLine, '\n'), takeUntil(periodLine, '\n')));
        if (path.empty()) {
            return limit;
        }
        path = path.substr(0, path.rfind('/'));
    }
}

/// The CPU quota of this process's control groups, of version 1 and 2, in processors; 0: none.
/// `root` is in front of /proc and /sys, for tests.
inline unsigned cpuQuota(const std::string& root = {}) {
    constexpr std::size_t size = std::size_t{64} * 1024;
    const std::string text = readKernelFile(root + "/proc/self/cgroup", size);
    const std::string mounts = root + "/sys/fs/cgroup";
    unsigned limit = 0;
    std::string_view rest = text;
    while (!rest.empty()) {
        std::string_view path = takeUntil(rest, '\n');
        takeUntil(path, ':');  // the hierarchy's number
        const std::string_view controllers = takeUntil(path, ':');
        if (controllers.empty()) {  // version 2
            limit = smallerLimit(limit, cpuLimitOfGroup(mounts, path));
            limit = smallerLimit(limit, cpuLimitOfGroup(mounts + "/unified", path));
            continue;
        }
        for (std::string_view others = controllers; !others.empty();) {
            if (takeUntil(others, ',') == "cpu") {
                limit = smallerLimit(limit, cpuLimitOfGroup(mounts + "/cpu", path));
                limit = smallerLimit(
                    limit, cpuLimitOfGroup(mounts + "/" + std::string(controllers), path));
            }
        }
    }
    return limit;
}

/// Processors that this thread may run on, 0 if unknown.
inline unsigned cpusOfAffinity() noexcept {
    ::cpu_set_t set;
    CPU_ZERO(&set);
    return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set))
                                                         : 0;
}

#endif

/// How many threads can run at a time, at least 1: the processors, limited on Linux by the affinity
/// of the calling thread and by the CPU quota of its container, which is rounded up. Reads a few
/// files there. Throws nothing but std::bad_alloc.
inline unsigned usableCpus() {
    unsigned count = std::thread::hardware_concurrency();
#if defined(__linux__)
    count = smallerLimit(smallerLimit(count, cpusOfAffinity()), cpuQuota());
#endif
    return (std::max)(count, 1U);
}

}  // namespace pushhub::detail
