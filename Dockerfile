# The app in the Functions image: the same host and the same code as on Flex Consumption. docs/deploy.md tells when to use it.
#   docker build --build-arg PYTHON=3.13 -t elastic-jobs .
ARG PYTHON=3.11
FROM mcr.microsoft.com/azure-functions/python:4-python${PYTHON}

ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    FUNCTIONS_WORKER_RUNTIME=python \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /home/site/wwwroot
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
# .dockerignore lets through only what the app needs.
COPY . .
# An image without Microsoft's driver would only show it at the first job: here the build fails, with the sentence that helps.
RUN python -c "from elastic_jobs.targets.connect import find_driver; print(find_driver())"
EXPOSE 80
