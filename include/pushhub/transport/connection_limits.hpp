#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <pushhub/detail/ref_ptr.hpp>
#include <pushhub/http/forwarded.hpp>
#include <pushhub/options.hpp>

namespace pushhub {

/// Counts the connections that each client address has. An IPv6 client counts as its network of
/// 64 bits, all of which is one customer's; but not with a link-local address, whose network is the
/// same for all. Any thread.
class AddressLimit final : public detail::RefCounted<AddressLimit> {
public:
    /// IPv6, or IPv4 in its mapped form (RFC 4291 section 2.5.5.2).
    using Address = std::array<unsigned char, 16>;

    /// The place of one connection, which it leaves when this is destroyed.
    class Place {
    public:
        Place(detail::RefPtr<AddressLimit> limit, const Address& address)
            : limit_(std::move(limit)), address_(address) {}
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() { limit_->leave(address_); }

    private:
        const detail::RefPtr<AddressLimit> limit_;
        const Address address_;
    };

    explicit AddressLimit(std::size_t most) : most_(most) {}

    /// Null if the address has as many connections as it may.
    std::unique_ptr<Place> enter(Address address) {
        constexpr unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
        const bool linkLocal = address[0] == 0xFE && (address[1] & 0xC0) == 0x80;  // fe80::/10
        if (!linkLocal && std::memcmp(address.data(), mapped, sizeof mapped) != 0) {
            std::memset(address.data() + 8, 0, 8);
        }
        const std::lock_guard<std::mutex> lock(mutex_);
        std::size_t& count = counts_[address];
        if (count >= most_) {
            return nullptr;
        }
        auto place = std::make_unique<Place>(detail::RefPtr<AddressLimit>(this), address);
        ++count;
        return place;
    }

private:
    struct Hash {
        std::size_t operator()(const Address& address) const noexcept {
            return std::hash<std::string_view>()(
                {reinterpret_cast<const char*>(address.data()), address.size()});
        }
    };

    void leave(const Address& address) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = counts_.find(address);
        if (found != counts_.end() && --found->second == 0) {
            counts_.erase(found);
        }
    }

    const std::size_t most_;
    std::mutex mutex_;
    std::unordered_map<Address, std::size_t, Hash> counts_;
};

namespace detail {

/// Lets clients in by their address: as many of one as the options say, of a trusted proxy any
/// number. Any thread.
class AddressGate final : public RefCounted<AddressGate> {
public:
    explicit AddressGate(const Options& options)
        : proxies_(options.trustedProxies),
          limit_(options.maxConnectionsPerAddress > 0
                     ? makeRef<AddressLimit>(options.maxConnectionsPerAddress)
                     : nullptr) {}

    static constexpr const char* fullReason = "maxConnectionsPerAddress is reached";

    bool isTrusted(const IpAddress& address) const noexcept { return proxies_.isTrusted(address); }

    /// False if the address has as many connections as it may. `place` is what it leaves later.
    bool enter(const IpAddress& address, std::unique_ptr<AddressLimit::Place>& place) const {
        if (!limit_ || isTrusted(address)) {
            return true;
        }
        place = limit_->enter(address.bytes);
        return place != nullptr;
    }

private:
    const ProxyTrust proxies_;
    const RefPtr<AddressLimit> limit_;  // null: none
};

}  // namespace detail

}  // namespace pushhub
