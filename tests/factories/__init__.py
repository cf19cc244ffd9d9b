"""What tests are made with: small images, networks, bundles, trainings and workflow folders."""
