# CPack runs this before it packs: the documents that only the package for Debian has.

if(NOT CPACK_PACKAGE_CONTACT MATCHES "^[^ ].* <.+>$")
    message(FATAL_ERROR "The package needs a maintainer, and «${CPACK_PACKAGE_CONTACT}» is none. Set "
                        "DEBFULLNAME and DEBEMAIL in the environment of cpack.")
endif()

set(root ${CPACK_TEMPORARY_DIRECTORY}${CPACK_PACKAGING_INSTALL_PREFIX})
set(documents ${root}/share/doc/${CPACK_DEBIAN_PACKAGE_NAME})
configure_file(${CPACK_RESOURCE_FILE_LICENSE} ${documents}/copyright COPYONLY)

string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${documents}/changelog
    "${CPACK_DEBIAN_PACKAGE_NAME} (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium\n\n"
    "  * CHANGELOG.md in the sources says what is new.\n\n"
    " -- ${CPACK_PACKAGE_CONTACT}  ${now}\n")
execute_process(COMMAND gzip -9n ${documents}/changelog COMMAND_ERROR_IS_FATAL ANY)

# Whatever the umask.
file(CHMOD_RECURSE ${root}
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
    DIRECTORY_PERMISSIONS
        OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
