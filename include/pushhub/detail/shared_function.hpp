#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include <pushhub/detail/unique_function.hpp>

namespace pushhub::detail {

template <class Signature>
class SharedFunction;

/// A `UniqueFunction` for objects that are copied: the copies call the same function.
template <class Result, class... Arguments>
class SharedFunction<Result(Arguments...)> {
    using Function = UniqueFunction<Result(Arguments...)>;

public:
    SharedFunction() noexcept = default;
    SharedFunction(std::nullptr_t) noexcept {}

    template <class Callable,
              std::enable_if_t<
                  std::conjunction_v<  // lazily: a copy must not ask whether it can be copied
                      std::negation<std::is_same<std::decay_t<Callable>, SharedFunction>>,
                      std::is_constructible<Function, Callable>>,
                  int> = 0>
    SharedFunction(Callable&& callable) {
        if (Function function = std::forward<Callable>(callable)) {
            function_ = std::make_shared<const Function>(std::move(function));
        }
    }

    Result operator()(Arguments... arguments) const {
        return (*function_)(std::forward<Arguments>(arguments)...);
    }

    explicit operator bool() const noexcept { return function_ != nullptr; }
    friend bool operator==(const SharedFunction& function, std::nullptr_t) noexcept {
        return !function;
    }
    friend bool operator!=(const SharedFunction& function, std::nullptr_t) noexcept {
        return static_cast<bool>(function);
    }

private:
    std::shared_ptr<const Function> function_;
};

}  // namespace pushhub::detail
