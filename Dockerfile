# The image holds one static binary, which `make image` builds first: dist/image/sluice.
FROM scratch
COPY dist/image/sluice /sluice
USER 65532:65532
EXPOSE 8080 8081 9090
ENTRYPOINT ["/sluice"]
CMD ["serve"]
